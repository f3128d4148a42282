"""Looks at the providers on other machines: whether each would take work now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2t.domain.breaker import Breaker, host_key
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import ProviderUnreachable, V2TError
from v2t.domain.ports import Breakers, RemoteTranscriber
from v2t.health.report import Part, broken, fine, weak
from v2t.providers.guarded import ChoosesHosts

if TYPE_CHECKING:
    from v2t.config import Settings
    from v2t.providers.guard import HostAnswer

_MARGIN_SHARE = 0.1
"""A host has so much less time than all of them, so that one that is silent does not hide the others."""


@dataclass(frozen=True, slots=True)
class ProviderState:
    """How a provider on another machine is, or one of its hosts."""

    name: str
    said: str  # what it says of itself, or why it would not take work
    seconds: float  # until it answered
    error: V2TError | None
    breaker: Breaker
    breaker_state: str
    capabilities: Capabilities | None = None  # None: of a host, or its settings do not open it
    hosts: tuple[ProviderState, ...] = ()  # of one that chooses between several


async def ask_provider(settings: Settings, name: str, limit_seconds: float, breakers: Breakers) -> ProviderState:
    """Whether a provider would take work now, and what the cluster knows of its failures."""
    from v2t import wiring

    started, said = time.monotonic(), ""
    error: V2TError | None = None
    answers: Sequence[HostAnswer] = ()
    capabilities: Capabilities | None = None
    try:
        async with asyncio.timeout(limit_seconds):
            provider = await asyncio.to_thread(wiring.open_provider, settings, name)
            started, capabilities = time.monotonic(), provider.capabilities  # loading its library says nothing of it
            try:
                if isinstance(provider, ChoosesHosts):
                    answers = await provider.survey(limit_seconds * (1 - _MARGIN_SHARE))
                said = await _check(provider, answers)
            finally:
                await provider.close()
    except TimeoutError:
        error = ProviderUnreachable(f"no answer within {limit_seconds:g} s")
    except V2TError as caught:
        error = caught
    seconds = time.monotonic() - started
    hosts = await asyncio.to_thread(lambda: tuple(_host_state(name, answer, breakers) for answer in answers))
    breaker = await asyncio.to_thread(breakers.read, name)
    said = error.message if error else said
    return ProviderState(name, said, seconds, error, breaker, breaker.state(time.time()), capabilities, hosts)


async def _check(provider: RemoteTranscriber, answers: Sequence[HostAnswer]) -> str:
    return provider.sum_up(answers) if isinstance(provider, ChoosesHosts) else await provider.check()


def _host_state(provider: str, answer: HostAnswer, breakers: Breakers) -> ProviderState:
    name = host_key(provider, answer.host)
    breaker = breakers.read(name)
    said = answer.error.message if answer.error else "answers"
    return ProviderState(name, said, answer.seconds, answer.error, breaker, breaker.state(time.time()))


async def look_at_provider(settings: Settings, name: str, seconds: float) -> Sequence[Part]:
    """The lines of `v2t health`. Without it others are asked, so that it never stands in the way."""
    from v2t import wiring

    state = await ask_provider(settings, name, seconds, wiring.open_breakers(settings))
    return [_judge(each, name) for each in (state, *state.hosts)]


def _judge(state: ProviderState, provider: str) -> Part:
    title = f"provider {state.name}"
    if state.error:
        summary, _, step = state.error.message.partition("; ")
        return broken(title, state.error, summary, step or f"`v2t providers test {provider}` says more")
    if state.breaker_state != "closed":
        summary = f"answers, but is left alone after failures: {state.breaker.reason}"
        return weak(title, summary, "it is tried again by itself")
    return fine(title, state.said, answer_seconds=round(state.seconds, 3))
