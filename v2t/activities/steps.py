"""What every step does besides its work: show that it lives, and know when trying again is of no use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from v2t.domain.errors import (
    DISK_FULL,
    ConnectionFailed,
    ProviderBusy,
    ProviderError,
    ProviderResting,
    StorageFull,
    V2TError,
    WorkerDiskFull,
)

_BEAT_SECONDS = 1.0
"""A heartbeat carries news of cancellation back: this often keeps it below the promised 2 seconds."""

ATTEMPTS = 10
"""How often a step may fail that does not merely wait for a server. Each loss of a worker costs an attempt as well,
so this is far above what a bad chunk needs."""

TRIES = 3
"""How often a provider is asked in vain where there is another one to ask."""

_LONGEST_PAUSE_SECONDS = 600.0
"""A provider that asks for more rest than this is asked again anyway, and may then be given up."""

_PATIENT = (ConnectionFailed, WorkerDiskFull)
"""A server or disk that comes back is waited for as long as the retry policy says: nothing accepted is lost."""

_FULL_DISK_SECONDS = 5.0
"""A machine without space fails so fast that it would take every retry: it waits, and others have time to take it."""


@dataclass(slots=True)
class Report:
    """What the heartbeats tell: for chunks, the seconds of audio done, and of how many if the workflow cannot know."""

    done: float = 0.0
    total: float = 0.0

    def __call__(self, done: float) -> None:
        """So much is done."""
        self.done = done


@asynccontextmanager
async def step(tries: int = 0) -> AsyncIterator[Report]:
    """Heartbeat while the body runs.

    Args:
        tries: how often a provider is asked in vain before another one is; 0: there is no other.

    Raises:
        ApplicationError: the failure of an attempt after which there is no other, or not before so many seconds.
    """
    report = Report()

    async def beat() -> None:
        while True:  # the first one late: most steps are over by then, and each costs the server a write
            await asyncio.sleep(_BEAT_SECONDS)
            activity.heartbeat(report.done, report.total)

    task = asyncio.get_running_loop().create_task(beat())
    try:
        yield report
    except V2TError as error:
        if is_last_try(error, tries):
            raise ApplicationError(error.message, type=error.code, non_retryable=True) from error
        if isinstance(error, ProviderBusy) and error.retry_after_seconds:
            later = timedelta(seconds=min(error.retry_after_seconds, _LONGEST_PAUSE_SECONDS))
            raise ApplicationError(error.message, type=error.code, next_retry_delay=later) from error
        raise
    finally:
        task.cancel()


def is_last_try(error: V2TError, tries: int = 0) -> bool:
    """Whether nothing is gained by trying this step again after a failure that passes by itself.

    Args:
        error: of this attempt.
        tries: as in `step`.
    """
    if not error.retryable or isinstance(error, _PATIENT):
        return False
    if tries and isinstance(error, ProviderResting):
        return True
    # who says when to come back answers in the end; one that never does is left alone, which is known by its breaker
    comes_back = isinstance(error, ProviderBusy) and error.retry_after_seconds
    most = tries if tries and isinstance(error, ProviderError) and not comes_back else ATTEMPTS
    return activity.info().attempt >= most


@asynccontextmanager
async def on_the_disk_of(host: str) -> AsyncIterator[None]:
    """Files are written on this machine while the body runs; where its disk is full, others may have space.

    Args:
        host: the machine's name in a cluster; empty: there is no other machine.

    Raises:
        WorkerDiskFull: no space is left, and another machine may try.
        StorageFull: no space is left.
    """
    try:
        yield
    except (StorageFull, OSError) as error:
        if isinstance(error, OSError) and error.errno not in DISK_FULL:
            raise
        if not host:
            raise error if isinstance(error, StorageFull) else StorageFull() from error
        await asyncio.sleep(_FULL_DISK_SECONDS)
        raise WorkerDiskFull(
            f"The disk of {host} is full; free some space there. Other machines do its work."
        ) from error
