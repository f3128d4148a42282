"""Temporal workers over a set of activities."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.worker import Worker

from v2t.activities.transcription import TranscriptionActivities
from v2t.client import Client
from v2t.workflows.policies import CPU_QUEUE, QUEUE
from v2t.workflows.transcribe_file import TranscribeFile

_BOOKKEEPING_SLOTS = 8
"""Cutting, merging and recording at once; they mostly wait, for a child or a disk."""

_HEARTBEAT_THROTTLE = timedelta(seconds=1)
"""How long the SDK may hold a heartbeat back: its default of 30 s would hold cancellation back as long."""


@asynccontextmanager
async def running_workers(
    client: Client, activities: TranscriptionActivities, slots: int, *, grace: timedelta = timedelta(0)
) -> AsyncIterator[None]:
    """Poll the queues while the body runs.

    Args:
        client: the cluster to work for.
        activities: the steps this worker can do.
        slots: how many chunks it computes at once.
        grace: how long running steps may go on at the end; then they are cancelled and
            given back, so that another worker, or this one later, does them again.
    """
    bookkeeping = Worker(
        client.temporal,
        task_queue=QUEUE,
        build_id=_build_id(),
        workflows=[TranscribeFile],
        activities=[activities.cut_audio, activities.merge_transcript, activities.record_failure],
        max_concurrent_activities=_BOOKKEEPING_SLOTS,
        max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=grace,
    )
    computing = Worker(
        client.temporal,
        task_queue=CPU_QUEUE,
        build_id=_build_id(),
        activities=[activities.transcribe_chunk, activities.transcribe_short],
        max_concurrent_activities=slots,
        max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=grace,
    )
    async with bookkeeping, computing:
        yield


@asynccontextmanager
async def answering_worker(client: Client) -> AsyncIterator[None]:
    """Answer queries about jobs while the body runs, without doing any of their work."""
    async with Worker(client.temporal, task_queue=QUEUE, build_id=_build_id(), workflows=[TranscribeFile]):
        yield


def _build_id() -> str:
    """What Temporal shows as the worker's version; without it the SDK hashes all loaded code, for half a second."""
    return f"v2t-{importlib.metadata.version('v2t')}"
