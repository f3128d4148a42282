"""Looks at the engines of this machine: which are installed, and whether each works here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from v2t.domain.errors import ConfigurationError, EngineNotInstalled, V2TError
from v2t.domain.jobs import LOCAL
from v2t.health.report import Part, broken, fine, weak
from v2t.providers.table import fastest_first

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


def ask_engines(settings: Settings, seconds: float) -> list[EngineState]:
    """How each engine is that is installed, or that the settings name a program for, the fastest first.

    It blocks: all are asked at once, in children of their own, and each is given that time.
    """
    from v2t import wiring

    engines = wiring.open_engines(settings, seconds)
    names = fastest_first()
    with ThreadPoolExecutor(len(names)) as threads:
        states = threads.map(partial(_ask, engines), names)
        return [state for state in states if not isinstance(state.error, EngineNotInstalled)]


def troubles(settings: Settings, seconds: float) -> dict[str, str]:
    """Name of an engine that does not work here → why; `local` is among them where none works."""
    states = ask_engines(settings, seconds)
    found = {state.name: state.said for state in states if state.error}
    return found | ({LOCAL: "no speech engine works here"} if len(found) == len(states) else {})


def engine_parts(states: Sequence[EngineState]) -> list[Part]:
    """The lines of `v2t health`: the engine that `local` means, and each that is passed over.

    Args:
        states: see ask_engines.

    Raises:
        EngineNotInstalled: there is none.
    """
    if not states:
        raise EngineNotInstalled
    well = next((state for state in states if not state.error), None)
    if well is None:
        reasons = "; ".join(state.said for state in states)
        return [broken("engine", ConfigurationError, f"none works here: {reasons}", _STEP, required=True)]
    return [fine("engine", well.name, required=True), *(_passed_over(state) for state in states if state.error)]


def _passed_over(state: EngineState) -> Part:
    reason, _, step = state.said.partition("; ")
    return weak(f"engine {state.name}", f"is passed over: {reason}", step or _STEP)


def _ask(engines: Engines, name: str) -> EngineState:
    started = time.monotonic()
    error: V2TError | None = None
    try:
        said = engines.check(name)
    except ConfigurationError as caught:
        error = caught
    return EngineState(name, error.message if error else said, time.monotonic() - started, error)
