"""The engines of this machine: which there are, and what is known against each."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from v2t.domain.errors import ConfigurationError, EngineCrashed, EngineTimedOut
from v2t.providers.engine_probe import Probe, parse_answer, probe_engine
from v2t.providers.table import LocalProvider, candidates_for, check_installed, local_providers, resolve_provider

_log = logging.getLogger(__name__)

_CRASHES = 2
"""So many in a row speak against an engine; a step tries three times, so the next engine gets the last.

Processes that die together, as where memory ran out or somebody killed them, are one crash.
"""

_REST_SECONDS = 600.0
"""How long an engine that crashed is passed over; then one more crash is enough."""


@dataclass(slots=True)
class _Known:
    trouble: str = ""
    until: float = 0.0
    crashes: int = 0  # in a row
    crashed_at: float = -math.inf  # the last of them


class Engines:
    """The engines of this machine, as its settings have them.

    Args:
        program: argv of a whisper-cli that whisper_cpp runs; empty: it uses its library.
        probe: asks an engine whether it works.
        clock: seconds that rise.
    """

    def __init__(
        self,
        program: Sequence[str] = (),
        probe: Callable[[LocalProvider], Probe] = probe_engine,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.providers = local_providers(program)
        self._probe = probe
        self._clock = clock
        self._probes: dict[str, Probe] = {}
        self._known = {name: _Known() for name in self.providers}

    def check_settings(self) -> None:
        """Whether what the settings name is there. Raises ConfigurationError."""
        for engine in self.providers.values():
            if engine.program:
                check_installed(engine)

    def resolve(self, name: str) -> LocalProvider:
        """See resolve_provider; those that something is known against are passed over."""
        return resolve_provider(name, self.providers, self.trouble)

    def candidates(self, name: str) -> list[LocalProvider]:
        """See candidates_for."""
        return candidates_for(name, self.providers)

    def trouble(self, name: str) -> str:
        """What is known against an engine now, without asking it; empty: nothing."""
        known = self._known[name]
        return known.trouble if self._clock() < known.until else ""

    def examine(self, name: str) -> Probe:
        """Ask an installed engine whether it works; once, then the answer is known. It blocks."""
        if name not in self._probes:
            self._probes[name] = self._probe(self.providers[name])
            if trouble := self._probes[name].trouble:
                self._pass_over(name, trouble, math.inf)
        return self._probes[name]

    def check(self, name: str) -> str:
        """What an engine can compute on, or that it is slow to say so. It blocks.

        Raises:
            EngineNotInstalled: its library is missing.
            ConfigurationError: its program is, or it does not work here.
        """
        check_installed(self.providers[name])
        said = self.examine(name).said
        if trouble := self.trouble(name):
            raise ConfigurationError(trouble)
        return f"can compute on {', '.join(parse_answer(said)[0])}" if said else "did not answer in time"

    @contextmanager
    def job(self, name: str) -> Iterator[None]:
        """Remember how the body, a job of an engine, ends: well, or in that its process died or hung."""
        began = self._clock()
        try:
            yield
        except (EngineCrashed, EngineTimedOut) as error:
            self._count_crash(name, error.message, began)
            raise
        self._known[name] = _Known()

    def _count_crash(self, name: str, failure: str, began: float) -> None:
        known = self._known[name]
        if began < known.crashed_at:
            return
        known.crashes += 1
        known.crashed_at = self._clock()
        if known.crashes >= _CRASHES:
            self._pass_over(name, failure, known.crashed_at + _REST_SECONDS)

    def _pass_over(self, name: str, trouble: str, until: float) -> None:
        known = self._known[name]
        known.trouble, known.until = trouble, max(until, known.until)
        _log.warning("%s is passed over: %s", name, trouble, extra={"action": "engine_passed_over"})
