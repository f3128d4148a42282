"""A real Temporal server with the doubles of the ports behind the real workflow and activities."""

from __future__ import annotations

import asyncio
import json
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType

from v2t.activities.queues import QueueActivities
from v2t.activities.transcription import TranscriptionActivities, choose_as_requested
from v2t.client import Client
from v2t.client.queues import is_polled
from v2t.development_server import server_command, server_environment
from v2t.domain.errors import ClusterUnreachable, V2TError
from v2t.domain.jobs import AudioRef, Chunk, TranscribeOptions, TranscribeRequest, TranscribeResult, transcript_key
from v2t.domain.ports import AudioTools, ChooseProviders, EngineResult, OnProgress
from v2t.domain.transcript import Segment, Transcript, Word, from_document
from v2t.process.ports import free_port
from v2t.process.service import Service
from v2t.testing import FakeAudioTools, MemoryJobRecords, MemoryObjectStore
from v2t.worker.runtime import Asked, Role, running_workers
from v2t.worker.steps import Steps

NAMESPACE = "v2t"

_BYTES_A_SECOND = 96_000
"""48 kHz, mono, 16 bits: minutes of it are no small file."""


@contextmanager
def temporal_server(folder: Path) -> Iterator[str]:
    """The server of an embedded cluster, with its database in `folder`; yields its address."""
    port = free_port()
    command = server_command(NAMESPACE, folder / "temporal.db", port, 0)
    service = Service(command, folder / "temporal.log", server_environment(busy=True))
    service.start()
    try:
        asyncio.run(_until_it_answers(f"127.0.0.1:{port}"))
        yield f"127.0.0.1:{port}"
    finally:
        died = service.exit_code is not None
        asyncio.run(service.stop())
        assert not died, f"the server of these tests ended by itself: {service.log.read_text()}"


async def _until_it_answers(address: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                client = await Client.connect(address, NAMESPACE)
                await client.ping()
                await client.prepare_namespace(1)
            except ClusterUnreachable:
                await asyncio.sleep(0.05)
            else:
                return


class ScriptedTranscriber:
    """A Transcriber that does with each chunk what the test says, and remembers what it was asked.

    Args:
        answer: the language it hears in a chunk, or what goes wrong with it; called for every attempt.
    """

    def __init__(
        self, answer: Callable[[Chunk, int], str | V2TError] = lambda _chunk, _attempt: "en", name: str = "scripted"
    ) -> None:
        self.name = name
        self.asked: list[tuple[int, str]] = []
        """Chunk index and forced language, for every attempt."""
        self.cancelled = 0
        self.running = 0
        self.most_running = 0
        self.hold: asyncio.Event | None = None
        """While it is set up and not set, no chunk is answered."""
        self._answer = answer

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        assert audio.suffix == ".wav"
        self.asked.append((chunk.index, options.language))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            on_progress(0.5)
            if self.hold:
                await self.hold.wait()
            else:
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        answer = self._answer(chunk, sum(index == chunk.index for index, _ in self.asked))
        if isinstance(answer, V2TError):
            raise answer
        text = f"chunk{chunk.index}"
        segment = Segment(1.0, 2.0, text, (Word(text, 1.0, 2.0, 0.9),), 0.9)
        return EngineResult((segment,), options.language or answer, 0.9, 0.5)


@dataclass
class FakeCluster:
    """A client, and what its worker works with."""

    client: Client
    transcriber: ScriptedTranscriber
    store: MemoryObjectStore = field(default_factory=MemoryObjectStore)
    records: MemoryJobRecords = field(default_factory=MemoryJobRecords)
    size_bytes: int = 4  # of the recordings that are submitted
    others: Mapping[str, Any] = field(default_factory=dict)
    """Provider → who answers for it; the transcriber for all others."""
    choose: ChooseProviders = choose_as_requested

    async def submit(self, language: str = "", *, provider: str = "scripted", **facts: Any) -> TranscribeRequest:
        """Submit a recording that nobody has submitted before."""
        audio = AudioRef(uuid.uuid4().hex, self.size_bytes, "talk.wav")
        self.store.put_bytes(audio.key, b"RIFF")
        request = TranscribeRequest(audio, TranscribeOptions(provider=provider, language=language), **facts)
        await self.client.submit(request)
        return request

    async def result(self, request: TranscribeRequest) -> TranscribeResult:
        """Wait for the job, but not for ever."""
        async with asyncio.timeout(30):
            return await self.client.result(request.job_id)

    def transcript(self, request: TranscribeRequest) -> Transcript:
        return from_document(json.loads(self.store.get_bytes(transcript_key(request.job_id))))

    async def event_types(self, request: TranscribeRequest) -> list[str]:
        """The job's history: the name of each event."""
        history = await self.client.temporal.get_workflow_handle(request.job_id).fetch_history()
        return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]


@asynccontextmanager
async def fake_cluster(
    address: str,
    transcriber: ScriptedTranscriber,
    audio_tools: AudioTools,
    *,
    slots: int = 4,
    host: str = "",
    namespace: str = NAMESPACE,
) -> AsyncIterator[FakeCluster]:
    """A client of the server at `address` and a worker for it."""
    cluster = FakeCluster(await Client.connect(address, namespace), transcriber)
    async with running_worker(cluster, audio_tools, slots=slots, host=host):
        yield cluster


@asynccontextmanager
async def running_worker(
    cluster: FakeCluster,
    audio_tools: AudioTools,
    *,
    slots: int = 4,
    host: str = "",
    polls_host: bool = True,
    asked: tuple[Asked, ...] = (),
) -> AsyncIterator[None]:
    if isinstance(audio_tools, FakeAudioTools):
        cluster.size_bytes = round(audio_tools.duration_seconds * _BYTES_A_SECOND)
    with tempfile.TemporaryDirectory() as scratch:
        activities = TranscriptionActivities(
            cluster.store,
            cluster.records,
            audio_tools,
            lambda name: cluster.others.get(name, cluster.transcriber),
            Path(scratch),
            host=host,
            choose=cluster.choose,
        )
        role = Role(host=host if polls_host else "", asked=asked)
        more = Steps((), (QueueActivities(partial(is_polled, cluster.client.temporal)).is_served,))
        async with running_workers(cluster.client, activities, slots, role=role, more=more):
            yield
