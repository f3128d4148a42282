from __future__ import annotations

import asyncio
import dataclasses
import json
import wave
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from v2t.activities import steps
from v2t.activities.transcription import TranscriptionActivities
from v2t.domain.errors import EngineCrashed, EngineEmptyResult, ObjectMissing, RecordsUnreachable
from v2t.domain.jobs import (
    AudioRef,
    Choice,
    Chunk,
    ChunkRequest,
    ChunkResult,
    CutRequest,
    FailureRequest,
    JobState,
    MergeRequest,
    Piece,
    ShortRequest,
    SmallRequest,
    TranscribeOptions,
    TranscribeRequest,
)
from v2t.domain.records import JobRecord
from v2t.domain.transcript import DropReason, Segment, Transcript, Word, from_document
from v2t.testing import FakeAudioTools, FakeTranscriber, MemoryJobRecords, MemoryObjectStore

REQUEST = TranscribeRequest(AudioRef("ab" * 32, 4, "talk.wav"), TranscribeOptions(provider="fake"))
JOB = REQUEST.job_id
HELLO = Segment(0.5, 1.5, "hello", (Word("hello", 0.5, 1.5, 0.9),), 0.9)
CHUNK = Chunk(0, f"{JOB}/chunks/00000.wav", (Piece(10.0, 5.0),))


@pytest.fixture
def store() -> MemoryObjectStore:
    filled = MemoryObjectStore()
    filled.put_bytes(REQUEST.audio.key, b"RIFF")
    filled.put_bytes(CHUNK.key, b"RIFF")
    return filled


@pytest.fixture
def records() -> MemoryJobRecords:
    return MemoryJobRecords()


class Bench:
    """The activities, and a way to run one as Temporal does."""

    def __init__(
        self,
        store: MemoryObjectStore,
        records: MemoryJobRecords,
        scratch: Path,
        transcriber: FakeTranscriber,
        chunk_seconds: float = 4.0,
    ) -> None:
        self.activities = TranscriptionActivities(
            store, records, FakeAudioTools(10.0, chunk_seconds), lambda _name: transcriber, scratch
        )
        self.heartbeats: list[Any] = []

    async def run(self, activity: Any, argument: Any, attempt: int = 1) -> Any:
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, attempt=attempt)
        environment.on_heartbeat = lambda *details: self.heartbeats.append(details)
        return await environment.run(activity, argument)


@pytest.fixture
def transcriber() -> FakeTranscriber:
    return FakeTranscriber((HELLO,))


@pytest.fixture
def bench(store: MemoryObjectStore, records: MemoryJobRecords, tmp_path: Path, transcriber: FakeTranscriber) -> Bench:
    return Bench(store, records, tmp_path, transcriber)


def merge_request(*results: ChunkResult, **changes: Any) -> MergeRequest:
    request = MergeRequest(REQUEST, results, (), 20.0, "en", 0.9, 0.5, 1000.0)
    return dataclasses.replace(request, **changes)


def transcript(store: MemoryObjectStore) -> Transcript:
    return from_document(json.loads(store.get_bytes(f"{JOB}/transcript.json")))


async def test_cutting_puts_every_chunk_into_the_store(bench: Bench, store: MemoryObjectStore, tmp_path: Path) -> None:
    cut = await bench.run(bench.activities.cut_audio, CutRequest(REQUEST.audio, JOB, window_seconds=100.0))
    assert [chunk.key for chunk in cut.chunks] == [f"{JOB}/chunks/{index:05d}.wav" for index in range(3)]
    assert all(store.get_bytes(chunk.key).startswith(b"RIFF") for chunk in cut.chunks)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a small folder


async def test_a_source_that_is_gone_is_named(bench: Bench, store: MemoryObjectStore) -> None:
    store.delete(REQUEST.audio.key)
    with pytest.raises(ObjectMissing):
        await bench.run(bench.activities.cut_audio, CutRequest(REQUEST.audio, JOB))


async def test_the_first_cut_finds_a_transcript_that_stands(bench: Bench) -> None:
    chunk = await bench.run(bench.activities.transcribe_chunk, ChunkRequest(JOB, CHUNK, REQUEST.options))
    merged = await bench.run(bench.activities.merge_transcript, merge_request(chunk))
    first = await bench.run(bench.activities.cut_audio, CutRequest(REQUEST.audio, JOB))
    later = await bench.run(bench.activities.cut_audio, CutRequest(REQUEST.audio, JOB, start=5.0))
    assert (first.stored, first.chunks, first.finished) == (merged, (), True)
    assert later.stored is None


async def test_a_damaged_transcript_does_not_stand(bench: Bench, store: MemoryObjectStore) -> None:
    store.put_bytes(f"{JOB}/transcript.json", b"{")
    cut = await bench.run(bench.activities.cut_audio, CutRequest(REQUEST.audio, JOB))
    assert cut.stored is None
    assert cut.chunks


async def test_a_chunk_is_transcribed_and_its_result_stored(
    bench: Bench, store: MemoryObjectStore, transcriber: FakeTranscriber
) -> None:
    result = await bench.run(bench.activities.transcribe_chunk, ChunkRequest(JOB, CHUNK, REQUEST.options))
    assert result == ChunkResult(0, result.key, "en", 1.0, 5.0, "fake", "base")
    stored = json.loads(store.get_bytes(result.key))
    assert stored["segments"][0]["text"] == "hello"
    assert stored["pieces"] == [{"start": 10.0, "length": 5.0}]


async def test_a_result_that_is_there_is_not_computed_again(bench: Bench, transcriber: FakeTranscriber) -> None:
    request = ChunkRequest(JOB, CHUNK, REQUEST.options)
    first = await bench.run(bench.activities.transcribe_chunk, request)
    second = await bench.run(bench.activities.transcribe_chunk, request)
    assert first == second
    assert len(transcriber.chunks) == 1


@pytest.mark.parametrize(
    "other",
    [
        ChunkRequest(JOB, dataclasses.replace(CHUNK, pieces=(Piece(10.0, 4.0),)), REQUEST.options),
        ChunkRequest(JOB, CHUNK, dataclasses.replace(REQUEST.options, language="de")),
    ],
    ids=["cut elsewhere", "in a forced language"],
)
async def test_a_result_for_other_circumstances_is_not_taken(
    bench: Bench, transcriber: FakeTranscriber, other: ChunkRequest
) -> None:
    await bench.run(bench.activities.transcribe_chunk, ChunkRequest(JOB, CHUNK, REQUEST.options))
    await bench.run(bench.activities.transcribe_chunk, other)
    assert len(transcriber.chunks) == 2


async def test_a_failure_stores_nothing(store: MemoryObjectStore, records: MemoryJobRecords, tmp_path: Path) -> None:
    bench = Bench(store, records, tmp_path, FakeTranscriber((HELLO,), failures=1))
    request = ChunkRequest(JOB, CHUNK, REQUEST.options)
    with pytest.raises(EngineCrashed):
        await bench.run(bench.activities.transcribe_chunk, request)
    assert store.list_keys(f"{JOB}/chunks/") == [CHUNK.key]


async def test_no_text_twice_means_that_there_is_none(
    store: MemoryObjectStore, records: MemoryJobRecords, tmp_path: Path
) -> None:
    bench = Bench(store, records, tmp_path, FakeTranscriber(failures=2, error=EngineEmptyResult()))
    request = ChunkRequest(JOB, CHUNK, REQUEST.options)
    with pytest.raises(EngineEmptyResult):
        await bench.run(bench.activities.transcribe_chunk, request, attempt=1)
    result = await bench.run(bench.activities.transcribe_chunk, request, attempt=2)
    assert json.loads(store.get_bytes(result.key))["segments"] == []
    await bench.run(bench.activities.merge_transcript, merge_request(result))
    assert [(span.start, span.end, span.reason) for span in transcript(store).dropped] == [
        (10.0, 15.0, DropReason.NO_TEXT)
    ]


async def test_heartbeats_tell_the_seconds_done(
    monkeypatch: pytest.MonkeyPatch, store: MemoryObjectStore, records: MemoryJobRecords, tmp_path: Path
) -> None:
    monkeypatch.setattr(steps, "_BEAT_SECONDS", 0.01)
    bench = Bench(store, records, tmp_path, FakeTranscriber((HELLO,), hangs=True))
    task = asyncio.create_task(bench.run(bench.activities.transcribe_chunk, ChunkRequest(JOB, CHUNK, REQUEST.options)))
    async with asyncio.timeout(5):
        while len(bench.heartbeats) < 3:  # noqa: ASYNC110 - the environment offers no event
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert set(bench.heartbeats) == {(0.0, 0.0)}
    seen = len(bench.heartbeats)
    await asyncio.sleep(0.05)
    assert len(bench.heartbeats) == seen


async def test_a_short_file_is_transcribed_and_merged_in_one_go(
    bench: Bench, store: MemoryObjectStore, records: MemoryJobRecords
) -> None:
    request = ShortRequest(CHUNK, merge_request(language="", language_probability=0.0, warnings=("it ends early",)))
    result = await bench.run(bench.activities.transcribe_short, request)
    merged = transcript(store)
    assert [(segment.text, segment.start, segment.end) for segment in merged.segments] == [("hello", 10.5, 11.5)]
    assert (merged.language, merged.language_probability, merged.provider) == ("en", 1.0, "fake")
    assert (result.words, result.warnings) == (1, ("it ends early",))
    assert merged.timings.decode_seconds == 0.5
    assert merged.timings.total_seconds > 0
    record = records.get(JOB)
    assert record is not None
    assert (record.state, record.language, record.audio_seconds, record.created_at) == (
        JobState.COMPLETED,
        "en",
        20.0,
        1000.0,
    )
    assert store.list_keys(f"{JOB}/") == [f"{JOB}/transcript.json"]


@pytest.fixture
def short_bench(
    store: MemoryObjectStore, records: MemoryJobRecords, tmp_path: Path, transcriber: FakeTranscriber
) -> Bench:
    """All files are a single chunk of ten seconds; the store holds nothing but the source."""
    store.delete(CHUNK.key)
    return Bench(store, records, tmp_path, transcriber, chunk_seconds=60.0)


async def test_a_small_file_that_is_one_chunk_is_finished_in_one_step(
    short_bench: Bench, store: MemoryObjectStore, records: MemoryJobRecords, tmp_path: Path
) -> None:
    cut = await short_bench.run(short_bench.activities.transcribe_small, SmallRequest(REQUEST, 1000.0))
    assert (cut.finished, cut.duration_seconds, cut.stored.words) == (True, 10.0, 1)
    assert [(segment.text, segment.start) for segment in transcript(store).segments] == [("hello", 0.5)]
    record = records.get(JOB)
    assert record is not None
    assert (record.state, record.audio_seconds, record.created_at) == (JobState.COMPLETED, 10.0, 1000.0)
    assert store.list_keys(f"{JOB}/") == [f"{JOB}/transcript.json"]
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a small folder


async def test_a_small_file_of_several_chunks_is_only_cut(
    bench: Bench, store: MemoryObjectStore, transcriber: FakeTranscriber
) -> None:
    cut = await bench.run(bench.activities.transcribe_small, SmallRequest(REQUEST, 1000.0))
    assert (len(cut.chunks), cut.stored) == (3, None)
    assert store.list_keys(f"{JOB}/") == [chunk.key for chunk in cut.chunks]
    assert transcriber.chunks == []


@pytest.mark.parametrize("step", ["transcribe_small", "cut_audio"])
@pytest.mark.parametrize("seconds", [10.0, 0.0], ids=["speech", "no speech"])
async def test_who_chooses_providers_may_listen_to_the_first_chunk(
    store: MemoryObjectStore, records: MemoryJobRecords, tmp_path: Path, step: str, seconds: float
) -> None:
    heard: list[tuple[float, float | None]] = []

    async def choose(_request: TranscribeRequest, length: float, beginning: Path | None) -> tuple[Choice, ...]:
        if beginning:
            with wave.open(str(beginning), "rb") as file:
                heard.append((length, file.getnframes() / file.getframerate()))
        else:
            heard.append((length, None))
        return (Choice("remote", workers="remote"),)

    bench = Bench(store, records, tmp_path, FakeTranscriber(()))
    activities = TranscriptionActivities(
        store, records, FakeAudioTools(seconds, 4.0), lambda _name: FakeTranscriber(()), tmp_path, choose=choose
    )
    requests = {
        "transcribe_small": SmallRequest(REQUEST, 1000.0),
        "cut_audio": CutRequest(REQUEST.audio, JOB, plan_for=REQUEST),
    }
    cut = await bench.run(getattr(activities, step), requests[step])
    assert heard == [(seconds, 4.0 if seconds else None)]
    assert cut.plan == (Choice("remote", workers="remote"),)


async def test_a_small_file_whose_transcript_stands_is_not_read_again(
    short_bench: Bench, store: MemoryObjectStore, transcriber: FakeTranscriber
) -> None:
    first = await short_bench.run(short_bench.activities.transcribe_small, SmallRequest(REQUEST, 1000.0))
    store.delete(REQUEST.audio.key)
    second = await short_bench.run(short_bench.activities.transcribe_small, SmallRequest(REQUEST, 1000.0))
    assert second.stored == first.stored
    assert len(transcriber.chunks) == 1


@pytest.mark.parametrize("step", ["transcribe_small", "transcribe_short"])
async def test_a_short_file_is_not_computed_again_because_its_record_could_not_be_saved(
    short_bench: Bench,
    store: MemoryObjectStore,
    records: MemoryJobRecords,
    transcriber: FakeTranscriber,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    def unreachable(record: JobRecord) -> None:
        raise RecordsUnreachable("the database does not answer")

    chunk = dataclasses.replace(CHUNK, pieces=(Piece(0.0, 10.0),))
    requests = {
        "transcribe_small": SmallRequest(REQUEST, 1000.0),
        "transcribe_short": ShortRequest(chunk, merge_request()),
    }
    activity = getattr(short_bench.activities, step)
    store.put_bytes(CHUNK.key, b"RIFF")
    with monkeypatch.context() as patch:
        patch.setattr(records, "save", unreachable)
        with pytest.raises(RecordsUnreachable):
            await short_bench.run(activity, requests[step])
    await short_bench.run(activity, requests[step], attempt=2)
    record = records.get(JOB)
    assert record is not None
    assert record.state == JobState.COMPLETED
    assert len(transcriber.chunks) == 1
    assert store.list_keys(f"{JOB}/") == [f"{JOB}/transcript.json"]


async def test_heartbeats_of_a_small_file_tell_how_long_it_is(
    monkeypatch: pytest.MonkeyPatch, store: MemoryObjectStore, records: MemoryJobRecords, tmp_path: Path
) -> None:
    monkeypatch.setattr(steps, "_BEAT_SECONDS", 0.01)
    bench = Bench(store, records, tmp_path, FakeTranscriber((HELLO,), hangs=True), chunk_seconds=60.0)
    task = asyncio.create_task(bench.run(bench.activities.transcribe_small, SmallRequest(REQUEST, 1000.0)))
    async with asyncio.timeout(5):
        while (0.0, 10.0) not in bench.heartbeats:  # noqa: ASYNC110 - the environment offers no event
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_silences_are_reported_as_dropped(bench: Bench, store: MemoryObjectStore) -> None:
    result = await bench.run(bench.activities.transcribe_chunk, ChunkRequest(JOB, CHUNK, REQUEST.options))
    silences = (Piece(15.0, 5.0), Piece(0.0, 10.0))
    await bench.run(bench.activities.merge_transcript, merge_request(result, silences=silences))
    assert [(span.start, span.end, span.reason) for span in transcript(store).dropped] == [
        (0.0, 10.0, DropReason.NO_SPEECH),
        (15.0, 20.0, DropReason.NO_SPEECH),
    ]


async def test_no_chunks_at_all_give_an_empty_transcript_with_a_warning(bench: Bench, store: MemoryObjectStore) -> None:
    request = merge_request(language="", language_probability=0.0)
    result = await bench.run(bench.activities.merge_transcript, request)
    merged = transcript(store)
    assert (merged.text, merged.language, merged.language_probability) == ("", None, None)
    assert result.warnings == ("no speech was found",)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
async def test_a_failure_is_recorded_and_the_decoded_audio_dropped(
    bench: Bench, store: MemoryObjectStore, records: MemoryJobRecords, state: JobState
) -> None:
    result = await bench.run(bench.activities.transcribe_chunk, ChunkRequest(JOB, CHUNK, REQUEST.options))
    await bench.run(
        bench.activities.record_failure, FailureRequest(REQUEST, state, "EngineCrashed", "It died.", 1000.0)
    )
    record = records.get(JOB)
    assert record is not None
    assert (record.state, record.error_code, record.error_message) == (state, "EngineCrashed", "It died.")
    assert record.finished_at > record.created_at == 1000.0
    assert store.list_keys(f"{JOB}/") == [result.key]  # the finished work stays for a retry
