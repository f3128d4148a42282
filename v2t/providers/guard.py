"""Circuit breakers around calls: of a provider, or of each host of one that chooses between hosts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from v2t.domain.breaker import (
    Breaker,
    BreakerPolicy,
    begin_call,
    busy_call,
    end_call,
    forget_call,
    host_key,
    summarize,
    take_turn,
)
from v2t.domain.errors import (
    CredentialsRefused,
    EngineTimedOut,
    ProviderBusy,
    ProviderFailed,
    ProviderResting,
    ProviderUnreachable,
    V2TError,
)
from v2t.domain.ports import Breakers

_TELLING = (CredentialsRefused, EngineTimedOut, ProviderBusy, ProviderFailed, ProviderUnreachable)
"""Failures that would meet the next call as well; others are of the audio, or of this machine."""

OnCall = Callable[[str, str, str, Breaker, Breaker], None]
"""Told of each call that ended, from any thread: provider, host, outcome, and its breaker before and after.

The host is empty where there is but one. The outcome is ok, the code of the error, cancelled, or resting: it was not
called.
"""


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """Whether a host of a provider can be reached."""

    host: str
    error: V2TError | None  # why not
    seconds: float  # until that was known


def observe_no_call(_provider: str, _host: str, _outcome: str, _before: Breaker, _after: Breaker) -> None:
    """The default of `OnCall`."""


class Guard:
    """Lets calls of a provider out, or not.

    Args:
        provider: its name.
        breakers: what is known of its failures, by everybody who asks it.
        policy: when it is left alone.
        clock: Unix time.
        observe: told of each call.
    """

    def __init__(
        self,
        provider: str,
        breakers: Breakers,
        policy: BreakerPolicy,
        clock: Callable[[], float] = time.time,
        observe: OnCall = observe_no_call,
    ) -> None:
        self._provider = provider
        self._breakers = breakers
        self._policy = policy
        self._clock = clock
        self._observe = observe
        self._hosts: tuple[str, ...] = ()

    def watch_hosts(self, hosts: Sequence[str]) -> None:
        """Keep the provider's own breaker to what those of its hosts say together."""
        self._hosts = tuple(hosts)

    async def begin(self, host: str = "") -> None:
        """Wait until a call may go out. Raises ProviderResting."""
        await self._wait_for_turn(host)
        if await self._change(host, "", lambda breaker: begin_call(breaker, self._clock(), self._policy)):
            return
        breaker = await asyncio.to_thread(self._breakers.read, self._key(host))
        seconds = breaker.wait_seconds(self._clock())
        await self._change(host, "resting", lambda breaker: (breaker, True))
        raise ProviderResting(
            f"{host or self._provider} is left alone for {seconds:.0f} s, as it kept failing: {breaker.reason}", seconds
        )

    async def end(self, host: str = "", error: BaseException | None = None) -> None:
        """Note how a call has ended that began; also where this task is being cancelled."""
        await asyncio.shield(self._change(host, _outcome(error), lambda breaker: (self._after(breaker, error), True)))

    def _after(self, breaker: Breaker, error: BaseException | None) -> Breaker:
        now = self._clock()
        if isinstance(error, ProviderBusy) and error.retry_after_seconds:
            return busy_call(breaker, error.message, error.retry_after_seconds, now, self._policy)
        if error is None or isinstance(error, _TELLING):
            return end_call(breaker, error.message if error else "", now, self._policy)
        return forget_call(breaker)

    async def _wait_for_turn(self, host: str) -> None:
        """While the provider asks not to be called, nobody calls it, and then one after the other."""
        while seconds := await asyncio.to_thread(self._take_turn, host):
            await asyncio.sleep(seconds)
            known = await asyncio.to_thread(self._breakers.read, self._key(host))
            if self._clock() >= known.busy_until:
                return

    def _take_turn(self, host: str) -> float:
        now, seconds = self._clock(), 0.0

        def take(breaker: Breaker) -> tuple[Breaker, bool]:
            nonlocal seconds
            breaker, seconds = take_turn(breaker, now, self._policy)
            return breaker, True

        known = self._breakers.read(self._key(host))
        if take_turn(known, now, self._policy)[0] is not known:  # nothing is written for a provider that is well
            self._breakers.change(self._key(host), take)
        return seconds

    async def _change(self, host: str, outcome: str, change: Callable[[Breaker], tuple[Breaker, bool]]) -> bool:
        return await asyncio.to_thread(self._change_now, host, outcome, change)

    def _change_now(self, host: str, outcome: str, change: Callable[[Breaker], tuple[Breaker, bool]]) -> bool:
        seen = (Breaker(), Breaker())

        def watched(before: Breaker) -> tuple[Breaker, bool]:
            nonlocal seen
            after, answer = change(before)
            seen = before, after
            return after, answer

        answer = self._breakers.change(self._key(host), watched)
        before, after = seen
        if outcome:
            self._observe(self._provider, host, outcome, before, after)
        if self._hosts and before.open_until != after.open_until:
            whole = summarize([self._breakers.read(self._key(each)) for each in self._hosts])
            self._breakers.change(self._provider, lambda _: (whole, True))
        return answer

    def _key(self, host: str) -> str:
        return host_key(self._provider, host) if host else self._provider


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
