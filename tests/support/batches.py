"""A real Temporal server and worker for batches, uploads and retention, with doubles of the ports behind them."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from temporalio.api.enums.v1 import EventType
from temporalio.service import RPCError

from support.cluster import NAMESPACE, ScriptedTranscriber
from v2t.activities.batches import BatchActivities
from v2t.activities.retention import RetentionActivities
from v2t.activities.transcription import TranscriptionActivities
from v2t.activities.uploads import UploadActivities
from v2t.client import Client
from v2t.client.batches import batch_result, iterate_report, submit_batch
from v2t.client.running import TemporalJobs
from v2t.domain.batches import BatchItem, BatchResult, FileOutcome, UploadRef
from v2t.domain.errors import V2TError
from v2t.domain.jobs import AudioRef, Chunk, TranscribeOptions, TranscribeRequest
from v2t.domain.ports import AudioTools, JobRecords, ObjectStore
from v2t.testing import FakeAudioTools, MemoryJobRecords, MemoryObjectStore
from v2t.worker.runtime import running_workers
from v2t.worker.steps import Steps
from v2t.workflows.catalogue import WORKFLOWS

_PATIENCE_SECONDS = 60


@dataclass
class BatchCluster:
    """A client, and what its worker works with; each has parameters of its own, so that no two tests share a job."""

    client: Client
    transcriber: ScriptedTranscriber
    store: ObjectStore = field(default_factory=MemoryObjectStore)
    records: JobRecords = field(default_factory=MemoryJobRecords)
    options: TranscribeOptions = field(
        default_factory=lambda: TranscribeOptions(provider="scripted", language="en", prompt=uuid.uuid4().hex)
    )

    def item(self, name: str, content: str = "") -> BatchItem:
        """A file whose recording stands in the store; its content is its name where none is given."""
        return BatchItem(name, len(content or name), request=self.request(name, content))

    def items(self, count: int) -> list[BatchItem]:
        return [self.item(f"talk{number:03d}.wav") for number in range(count)]

    def request(self, name: str, content: str = "") -> TranscribeRequest:
        data = (content or name).encode()
        audio = AudioRef(hashlib.sha256(data).hexdigest(), len(data), name)
        self.store.put_bytes(audio.key, data)
        return TranscribeRequest(audio, self.options)

    def drop(self, key: str, content: str) -> UploadRef:
        """Put a file into the store as a user would, with a program of his own."""
        self.store.put_bytes(key, content.encode())
        return self.upload(key)

    def upload(self, key: str) -> UploadRef:
        facts = self.store.facts(key)
        return UploadRef(key, facts.size_bytes, facts.etag)

    async def submit(self, items: Sequence[BatchItem], groups_in_flight: int = 8, tags: tuple[str, ...] = ()) -> str:
        return await submit_batch(
            self.client, self.store, items, self.options, user="alice", groups_in_flight=groups_in_flight, tags=tags
        )

    async def result(self, batch_id: str) -> BatchResult:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await batch_result(self.client, batch_id)

    async def run(self, items: Sequence[BatchItem]) -> BatchResult:
        return await self.result(await self.submit(items))

    def report(self, batch_id: str) -> dict[str, FileOutcome]:
        """The outcome of each file by its name."""
        return {outcome.name: outcome for outcome in iterate_report(self.store, batch_id)}

    async def event_types(self, workflow_id: str, run_id: str | None = None) -> list[str]:
        """A workflow's history: the name of each event."""
        history = await self.client.temporal.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]

    async def until_event(self, workflow_id: str, kind: str, times: int = 1) -> None:
        """Wait until a workflow, which may not have started yet, has had an event so often."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            for _ in count():
                with suppress(RPCError):
                    if (await self.event_types(workflow_id)).count(kind) >= times:
                        return
                await asyncio.sleep(0.05)

    async def runs(self, workflow_id: str) -> int:
        """How often a workflow has been started, from what the server keeps of it."""
        query = f"WorkflowId = '{workflow_id}'"
        return (await self.client.temporal.count_workflows(query)).count


@asynccontextmanager
async def batch_cluster(
    address: str,
    answer: Callable[[Chunk, int], str | V2TError] = lambda _chunk, _attempt: "en",
    *,
    slots: int = 8,
    page: int = 3,
    audio_tools: AudioTools | None = None,
    store: ObjectStore | None = None,
    records: JobRecords | None = None,
) -> AsyncIterator[BatchCluster]:
    """A client of the server at `address`, and a worker that reads uploads and records in pages of `page`."""
    client = await Client.connect(address, NAMESPACE)
    cluster = BatchCluster(
        client, ScriptedTranscriber(answer), store or MemoryObjectStore(), records or MemoryJobRecords()
    )
    async with batch_worker(cluster, slots=slots, page=page, audio_tools=audio_tools):
        yield cluster


@asynccontextmanager
async def batch_worker(
    cluster: BatchCluster, *, slots: int = 8, page: int = 3, audio_tools: AudioTools | None = None
) -> AsyncIterator[None]:
    jobs = TemporalJobs(cluster.client)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        transcription = TranscriptionActivities(
            cluster.store,
            cluster.records,
            audio_tools or FakeAudioTools(10.0),
            lambda _name: cluster.transcriber,
            scratch,
        )
        more = Steps(
            WORKFLOWS,
            (
                *BatchActivities(cluster.store, cluster.records, jobs, scratch).steps,
                *UploadActivities(cluster.store, jobs, page).steps,
                *RetentionActivities(cluster.store, cluster.records, jobs, page).steps,
            ),
        )
        async with running_workers(cluster.client, transcription, slots, more=more):
            yield
