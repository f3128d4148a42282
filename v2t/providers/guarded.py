"""A provider on another machine behind its circuit breaker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from v2t.domain.breaker import Breaker, BreakerPolicy, begin_call, end_call, forget_call
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import (
    CredentialsRefused,
    EngineTimedOut,
    ProviderBusy,
    ProviderFailed,
    ProviderResting,
    ProviderUnreachable,
    V2TError,
)
from v2t.domain.jobs import Chunk, TranscribeOptions
from v2t.domain.ports import Breakers, EngineResult, OnProgress, RemoteTranscriber

_TELLING = (CredentialsRefused, EngineTimedOut, ProviderBusy, ProviderFailed, ProviderUnreachable)
"""Failures that would meet the next call as well; others are of the audio, or of this machine."""


class Guarded:
    """A RemoteTranscriber that is left alone while it fails.

    Args:
        provider: whom to ask.
        breakers: what is known of its failures, by everybody who asks it.
        policy: when it is left alone.
        clock: Unix time.
    """

    def __init__(
        self,
        provider: RemoteTranscriber,
        breakers: Breakers,
        policy: BreakerPolicy,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._provider = provider
        self._breakers = breakers
        self._policy = policy
        self._clock = clock

    @property
    def name(self) -> str:
        """The provider's."""
        return self._provider.name

    @property
    def capabilities(self) -> Capabilities:
        """The provider's."""
        return self._provider.capabilities

    async def check(self) -> str:
        """As the provider does, whatever the breaker says."""
        return await self._provider.check()

    async def close(self) -> None:
        """As the provider does."""
        await self._provider.close()

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        """See Transcriber. Raises ProviderResting besides."""
        await self._begin()
        try:
            result = await self._provider.transcribe(audio, chunk, options, on_progress)
        except _TELLING as error:
            await self._end(error.message)
            raise
        except (V2TError, asyncio.CancelledError):
            await asyncio.shield(self._change(lambda breaker: (forget_call(breaker), True)))
            raise
        await self._end("")
        return result

    async def _begin(self) -> None:
        if await self._change(lambda breaker: begin_call(breaker, self._clock(), self._policy)):
            return
        breaker = await asyncio.to_thread(self._breakers.read, self.name)
        seconds = breaker.wait_seconds(self._clock())
        raise ProviderResting(
            f"{self.name} is left alone for {seconds:.0f} s, as it kept failing: {breaker.reason}", seconds
        )

    async def _end(self, failure: str) -> None:
        await self._change(lambda breaker: (end_call(breaker, failure, self._clock(), self._policy), True))

    async def _change(self, change: Callable[[Breaker], tuple[Breaker, bool]]) -> bool:
        return await asyncio.to_thread(self._breakers.change, self.name, change)
