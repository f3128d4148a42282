"""A provider on another machine behind its circuit breaker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from v2t.domain.capabilities import Capabilities
from v2t.domain.jobs import Chunk, TranscribeOptions
from v2t.domain.ports import EngineResult, OnProgress, RemoteTranscriber
from v2t.providers.guard import Guard, HostAnswer


@runtime_checkable
class ChoosesHosts(Protocol):
    """A provider that chooses between hosts, each of which may fail by itself."""

    def guard_hosts(self, guard: Guard) -> None:
        """Ask the guard about a host before each call to it, and tell it how that went."""
        ...

    async def survey(self, limit_seconds: float | None = None) -> Sequence[HostAnswer]:
        """See which hosts can be reached now, each within the limit. Raises ConfigurationError."""
        ...

    def sum_up(self, answers: Sequence[HostAnswer]) -> str:
        """What `check` says where the hosts answer so. Raises as that does."""
        ...


def guarded(provider: RemoteTranscriber, guard: Guard) -> RemoteTranscriber:
    """The provider behind a breaker, or behind one for each of its hosts."""
    if isinstance(provider, ChoosesHosts):
        provider.guard_hosts(guard)
        return provider
    return Guarded(provider, guard)


class Guarded:
    """A RemoteTranscriber that is left alone while it fails.

    Args:
        provider: whom to ask.
        guard: lets the calls out, or not.
    """

    def __init__(self, provider: RemoteTranscriber, guard: Guard) -> None:
        self._provider = provider
        self._guard = guard

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
        """See Transcriber. Raises ProviderResting besides; waits while the provider asks to be left in peace."""
        await self._guard.begin()
        try:
            result = await self._provider.transcribe(audio, chunk, options, on_progress)
        except BaseException as error:
            await self._guard.end(error=error)
            raise
        await self._guard.end()
        return result
