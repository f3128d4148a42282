"""Looks at the providers on other machines: whether each would take work now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2t.domain.breaker import Breaker
from v2t.domain.errors import ProviderUnreachable, V2TError
from v2t.domain.ports import Breakers
from v2t.health.report import Part, broken, fine, weak

if TYPE_CHECKING:
    from v2t.config import Settings


@dataclass(frozen=True, slots=True)
class ProviderState:
    """How a provider on another machine is."""

    name: str
    said: str  # what it says of itself, or why it would not take work
    seconds: float  # until it answered
    error: V2TError | None
    breaker: Breaker
    breaker_state: str


async def ask_provider(settings: Settings, name: str, limit_seconds: float, breakers: Breakers) -> ProviderState:
    """Whether a provider would take work now, and what the cluster knows of its failures."""
    from v2t import wiring

    started, said = time.monotonic(), ""
    error: V2TError | None = None
    try:
        async with asyncio.timeout(limit_seconds):
            provider = await asyncio.to_thread(wiring.open_provider, settings, name)
            try:
                said = await provider.check()
            finally:
                await provider.close()
    except TimeoutError:
        error = ProviderUnreachable(f"no answer within {limit_seconds:g} s")
    except V2TError as caught:
        error = caught
    breaker = await asyncio.to_thread(breakers.read, name)
    seconds = time.monotonic() - started
    return ProviderState(name, error.message if error else said, seconds, error, breaker, breaker.state(time.time()))


async def look_at_provider(settings: Settings, name: str, seconds: float) -> Sequence[Part]:
    """One line of `v2t health`. Without it others are asked, so that it never stands in the way."""
    from v2t import wiring

    state = await ask_provider(settings, name, seconds, wiring.open_breakers(settings))
    title = f"provider {name}"
    if state.error:
        summary, _, step = state.error.message.partition("; ")
        return [broken(title, state.error, summary, step or f"`v2t providers test {name}` says more")]
    if state.breaker_state != "closed":
        summary = f"answers, but is left alone after failures: {state.breaker.reason}"
        return [weak(title, summary, "it is tried again by itself")]
    return [fine(title, state.said, answer_seconds=round(state.seconds, 3))]
