"""Looks at the engines of this machine: which are installed, and whether each works here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from v2t.domain.errors import ConfigurationError, EngineNotInstalled, V2TError
from v2t.health.report import Part, broken, fine, weak
from v2t.providers.engine_probe import parse_answer
from v2t.providers.table import check_installed, fastest_first

if TYPE_CHECKING:
    from v2t.config import Settings
    from v2t.providers.engines import Engines

_STEP = "mend or remove it; `v2t providers status` shows whether it works then"


@dataclass(frozen=True, slots=True)
class EngineState:
    """How an engine of this machine is."""

    name: str
    said: str  # what it says of itself, or why it does not work
    seconds: float  # until it answered
    error: V2TError | None

    @property
    def is_there(self) -> bool:
        """Whether somebody meant it to be: one that is not installed is no failure, as one engine is enough."""
        return not isinstance(self.error, EngineNotInstalled)


def ask_engines(settings: Settings, seconds: float) -> list[EngineState]:
    """How every engine is, the fastest first.

    It blocks: all are asked at once, in children of their own, and each is given that time.
    """
    from v2t import wiring

    engines = wiring.open_engines(settings, seconds)
    names = fastest_first()
    with ThreadPoolExecutor(len(names)) as threads:
        return list(threads.map(partial(_ask, engines), names))


def engine_parts(states: Sequence[EngineState]) -> list[Part]:
    """The lines of `v2t health`: the engine that `local` means, and each that is passed over.

    Args:
        states: of all engines, the fastest first.

    Raises:
        EngineNotInstalled: there is none.
    """
    there = [state for state in states if state.is_there]
    if not there:
        raise EngineNotInstalled
    well = next((state for state in there if not state.error), None)
    if well is None:
        reasons = "; ".join(state.said for state in there)
        return [broken("engine", ConfigurationError, f"none works here: {reasons}", _STEP, required=True)]
    over = [state for state in there if state.error]
    return [
        fine("engine", well.name, required=True),
        *(weak(f"engine {state.name}", f"is passed over: {state.said}", _STEP) for state in over),
    ]


def _ask(engines: Engines, name: str) -> EngineState:
    started = time.monotonic()
    error: V2TError | None = None
    try:
        check_installed(engines.providers[name])
        probe = engines.examine(name)
        said = f"can compute on {', '.join(parse_answer(probe.said)[0])}" if probe.said else "did not answer in time"
        if probe.trouble:
            error = ConfigurationError(probe.trouble)
    except ConfigurationError as caught:
        error = caught
    return EngineState(name, error.message if error else said, time.monotonic() - started, error)
