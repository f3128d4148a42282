"""What a worker works with: its child processes, and the activities that use them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from v2t import wiring
from v2t.domain.breaker import BreakerPolicy
from v2t.domain.errors import V2TError
from v2t.domain.jobs import LOCAL
from v2t.domain.ports import CountEngines, JobRecords, ObjectStore, RemoteTranscriber, Transcriber
from v2t.planning import Kinds, Planner, no_kinds, spent_by
from v2t.process.heap import ONE_HEAP
from v2t.providers.guard import Guard, OnCall, observe_no_call
from v2t.providers.guarded import guarded
from v2t.providers.table import REMOTE_PROVIDERS, load_class

if TYPE_CHECKING:
    from v2t.activities.transcription import TranscriptionActivities
    from v2t.config import Settings
    from v2t.providers.engine import LocalEngine
    from v2t.providers.engines import Engines

_log = logging.getLogger(__name__)

_MEGABYTE = 1024 * 1024
_MEDIA_CHILDREN = 2
_CHILD_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # v2t connects to nobody it was not told to; by default these libraries would
    "HF_HUB_OFFLINE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


def engine_slots(settings: Settings) -> int:
    """How many engines run side by side at most: one a core, where the settings do not say."""
    return settings.engine.slots or max(1, len(os.sched_getaffinity(0)) // settings.engine.threads)


def available_memory() -> int:
    """Bytes that programs can still take without swapping, as the kernel estimates; 0 where it does not say."""
    with suppress(OSError), Path("/proc/meminfo").open() as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


class Workshop:
    """What a worker works with: the child processes, and the activities that use them.

    Args:
        settings: sizes and limits.
        store: the object store.
        records: the job records.
        accelerations: what engines compute on, by name; the others on the processor.
        kinds: the kinds of workers that are there.
        count_engines: tells how many share a file; None: those of this machine.
        engines: what is known of the engines of this machine already.

    Raises:
        ConfigurationError: the rules that choose providers are not right.
    """

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        records: JobRecords,
        accelerations: Mapping[str, str] = MappingProxyType({}),
        kinds: Kinds = no_kinds,
        count_engines: CountEngines | None = None,
        engines: Engines | None = None,
    ) -> None:
        from v2t.media.tools import ConfinedAudioTools
        from v2t.process.pool import ChildPool

        self._settings = settings
        self._store = store
        self._records = records
        self._accelerations = accelerations
        self.slots = engine_slots(settings)
        self._engine_pool = ChildPool(
            self.slots,
            budget_bytes=available_memory(),
            idle_seconds=settings.engine.idle_unload_seconds,
            environment={**_CHILD_ENVIRONMENT, **ONE_HEAP, "OMP_NUM_THREADS": str(settings.engine.threads)},
        )
        self._media_pool = ChildPool(
            _MEDIA_CHILDREN, idle_seconds=settings.engine.idle_unload_seconds, environment=_CHILD_ENVIRONMENT
        )
        self._audio_tools = ConfinedAudioTools(
            self._media_pool,
            count_engines or self._own_slots,
            target_seconds=settings.audio.chunk_seconds,
            max_seconds=settings.audio.max_hours * 3600,
            stall_seconds=settings.audio.decode_stall_seconds,
            limit_bytes=settings.audio.decode_memory_mb * _MEGABYTE,
        )
        self._models = wiring.open_models(settings)
        self._breakers = wiring.open_breakers(settings)
        self._planner = Planner(settings, kinds, self._breakers, spent_by(records), self._detect_language)
        self._here = engines or wiring.open_engines(settings)
        self._engines: dict[str, LocalEngine] = {}
        self._remotes: dict[str, RemoteTranscriber] = {}
        self._warming: list[asyncio.Task[None]] = []

    @cached_property
    def activities(self) -> TranscriptionActivities:
        """The steps of jobs; made when asked for, as they load the Temporal SDK."""
        from v2t.activities.transcription import TranscriptionActivities

        return TranscriptionActivities(
            self._store,
            self._records,
            self._audio_tools,
            self.open_transcriber,
            self.scratch,
            choose=self._planner.choose,
            **(_cluster_parts(self._settings) if self._settings.is_cluster else {}),
        )

    @cached_property
    def scratch(self) -> Path:
        """The folder for files on their way into or out of the store."""
        return wiring.scratch_folder(self._settings)

    def open_transcriber(self, name: str) -> Transcriber:
        """What a provider name means here. Raises UnknownProvider, EngineNotInstalled, ConfigurationError."""
        return self._open_remote(name) if name in REMOTE_PROVIDERS else self._open_engine(name)

    async def _own_slots(self) -> int:
        return self.slots

    def _open_remote(self, name: str) -> RemoteTranscriber:
        if name not in self._remotes:
            provider = wiring.open_provider(self._settings, name)
            guard = Guard(name, self._breakers, BreakerPolicy(), observe=_call_observer(self._settings))
            self._remotes[name] = guarded(provider, guard)
        return self._remotes[name]

    def _open_engine(self, name: str) -> LocalEngine:
        from v2t.weights.catalogue import memory_bytes

        provider = self._here.resolve(name)
        if provider.name not in self._engines:
            self._engines[provider.name] = load_class(provider)(
                self._engine_pool,
                self._locate_model,
                memory_bytes,
                memory_limit=self._settings.engine.memory_limit_mb * _MEGABYTE,
                threads=self._settings.engine.threads,
                acceleration=self._accelerations.get(provider.name, "cpu"),
                stall_seconds=self._settings.engine.stall_seconds,
                engines=self._here,
            )
        return self._engines[provider.name]

    async def _detect_language(self, audio: Path, model: str) -> str:
        """What the engine of this machine hears; nothing where it has none, or that fails: the plan goes without."""
        from v2t.providers.listening import detect_language

        if self._settings.is_cluster and self._settings.worker.kind == "remote":
            return ""
        try:
            return await detect_language(self._open_engine(LOCAL), audio, model)
        except V2TError as error:
            _log.warning("no language detected: %s", error.message, extra={"action": "detect_language"})
            return ""

    def warm_up(self, provider: str, model: str) -> None:
        """Begin to load the decoder and the model while other things start.

        A failure here says nothing yet: the job that needs what failed will meet it again, and report it.
        """
        engines = () if provider in REMOTE_PROVIDERS else (self._open_engine(provider).warm_up(model),)
        for coroutine in (*engines, self._audio_tools.warm_up()):
            self._warming.append(asyncio.get_running_loop().create_task(_quietly(coroutine)))

    async def close(self) -> None:
        """End the child processes, and let go of connections."""
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)
        await asyncio.gather(*(remote.close() for remote in self._remotes.values()), return_exceptions=True)
        await self._engine_pool.close()
        await self._media_pool.close()

    async def _locate_model(self, name: str, model_format: str) -> Path:
        return await asyncio.to_thread(self._models.ensure, name, model_format)


def _cluster_parts(settings: Settings) -> dict[str, Any]:
    """What the steps are given on a cluster only: their machine's name, and what measures them."""
    from v2t.metrics import observe_attempt

    return {"host": settings.worker.machine, "observe": observe_attempt}


def _call_observer(settings: Settings) -> OnCall:
    """What counts calls of providers on other machines, which is done on a cluster only."""
    if not settings.is_cluster:
        return observe_no_call
    from v2t.metrics import observe_call

    return observe_call


async def _quietly(coroutine: Coroutine[Any, Any, None]) -> None:
    with suppress(V2TError):
        await coroutine
