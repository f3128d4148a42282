"""Orchestration alone: the engine does nothing, objects and records are in memory, Temporal is real."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio.api.enums.v1 import EventType

from v2t.activities.transcription import TranscriptionActivities
from v2t.client.batches import batch_result, submit_batch
from v2t.domain.batches import BatchItem
from v2t.domain.jobs import AudioRef, Chunk, TranscribeOptions, TranscribeRequest
from v2t.domain.ports import EngineResult, OnProgress
from v2t.domain.transcript import Segment, Word
from v2t.testing import FakeAudioTools, MemoryJobRecords, MemoryObjectStore
from v2t.worker.runtime import running_workers
from v2t.worker.steps import gather_steps

if TYPE_CHECKING:
    from v2t.client import Client

_SEGMENTS = (Segment(0.0, 1.0, "word", (Word("word", 0.0, 1.0, 0.9),), 0.9),)


class NoEngine:
    """A Transcriber that does nothing."""

    name = "none"

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        del audio, chunk, on_progress
        return EngineResult(_SEGMENTS, options.language, 1.0, 0.0)


@dataclass(frozen=True)
class Cost:
    """What a batch of so many files took."""

    files: int
    seconds: float
    events: int  # in the history of one file
    activities: int


async def measure(client: Client, counts: Sequence[int], scratch: Path) -> list[Cost]:
    """Run a batch of each size, one after the other; a size may come several times."""
    store, records = MemoryObjectStore(), MemoryJobRecords()
    activities = TranscriptionActivities(store, records, FakeAudioTools(5.0), lambda _name: NoEngine(), scratch)
    steps = gather_steps(client, store, records, scratch)
    async with running_workers(client, activities, 8, more=steps):
        await _run(client, store, 100, "warm-up")
        return [await _run(client, store, count, f"batch {number}") for number, count in enumerate(counts)]


async def _run(client: Client, store: MemoryObjectStore, count: int, prompt: str) -> Cost:
    options = TranscribeOptions(provider="none", language="en", prompt=prompt)
    store.put_bytes("audio/0", b"RIFF")
    requests = [TranscribeRequest(AudioRef(f"{number}", 4, f"{number}.wav"), options) for number in range(count)]
    for request in requests:
        store.put_bytes(request.audio.key, b"RIFF")
    items = [BatchItem(request.audio.name, 4, request) for request in requests]
    started = time.monotonic()
    batch = await submit_batch(client, store, items, options)
    result = await batch_result(client, batch)
    seconds = time.monotonic() - started
    assert result.totals.completed == count, result
    history = await client.temporal.get_workflow_handle(requests[0].job_id).fetch_history()
    kinds = [event.event_type for event in history.events]
    return Cost(count, seconds, len(kinds), kinds.count(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED))
