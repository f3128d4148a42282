"""Each try of a provider is written down, and measured, without standing in the way of the work."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager

from temporalio import activity

from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import V2TError
from v2t.domain.jobs import ChunkRequest
from v2t.domain.ports import JobRecords, OnAttempt, Transcriber
from v2t.domain.records import ProviderAttempt

_log = logging.getLogger(__name__)

_WAIT_SECONDS = 2.0
"""How long a step waits for its attempt to be kept; one that takes longer is kept later, or not."""

_WAITING_AT_MOST = 100
"""Attempts kept in memory while the database does not answer; further ones are lost."""


def observe_nothing(_attempt: ProviderAttempt) -> None:
    """The default of `OnAttempt`."""


class AttemptLog:
    """Where attempts go: the records, best effort, and whoever measures.

    Args:
        records: keeps them.
        observe: told of each.
        host: the machine's name.
    """

    def __init__(self, records: JobRecords, observe: OnAttempt, host: str) -> None:
        self._records = records
        self._observe = observe
        self._worker = f"{host or 'localhost'}:{os.getpid()}"
        # A thread of its own: a database that hangs must not take those that the object store is called in.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="attempts")
        self._waiting: set[Future[None]] = set()

    @asynccontextmanager
    async def attempt(self, request: ChunkRequest, transcriber: Transcriber) -> AsyncIterator[None]:
        """Write down how the body goes; a cancelled one was nobody's failure and is left out."""
        started_at, began = time.time(), time.monotonic()
        error: Exception | None = None
        try:
            yield
        except Exception as failure:
            error = failure
            raise
        finally:
            if error or not _is_cancelling():
                made = ProviderAttempt(
                    job_id=request.job_id,
                    chunk_index=request.chunk.index,
                    attempt=activity.info().attempt,
                    provider=transcriber.name,
                    model=request.options.model,
                    worker=self._worker,
                    started_at=started_at,
                    seconds=time.monotonic() - began,
                    audio_seconds=request.chunk.speech_seconds,
                    error_code=_code(error),
                    error_message=str(error or ""),
                    dollars=0.0 if error else _price(transcriber, request.chunk.speech_seconds),
                )
                self._observe(made)
                await self._keep(made)

    async def _keep(self, attempt: ProviderAttempt) -> None:
        behind = len(self._waiting)
        if behind >= _WAITING_AT_MOST:
            _log.warning("the records do not answer: an attempt at %s is not kept", attempt.job_id)
            return
        saving = self._thread.submit(self._save, attempt)
        self._waiting.add(saving)
        saving.add_done_callback(self._waiting.discard)
        if not behind:  # else the records are slow or gone, and it was waited for them already
            await asyncio.wait({asyncio.wrap_future(saving)}, timeout=_WAIT_SECONDS)

    def _save(self, attempt: ProviderAttempt) -> None:
        try:
            self._records.save_attempt(attempt)
        except Exception as error:  # noqa: BLE001 - whatever it is, the transcription goes on
            _log.warning("an attempt at %s is not kept: %s", attempt.job_id, error)


def _price(transcriber: Transcriber, seconds: float) -> float:
    """By the price list; engines of this machine cost nothing."""
    capabilities: Capabilities | None = getattr(transcriber, "capabilities", None)
    return capabilities.dollars_per_minute * seconds / 60 if capabilities else 0.0


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return bool(task and task.cancelling())


def _code(error: Exception | None) -> str:
    if error is None:
        return ""
    return error.code if isinstance(error, V2TError) else type(error).__name__
