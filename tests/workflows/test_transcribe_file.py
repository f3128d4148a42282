from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
from support.cluster import FakeCluster, ScriptedTranscriber, fake_cluster, running_worker
from support.processes import until
from temporalio.common import RetryPolicy

from v2t.domain.errors import (
    EngineCrashed,
    JobCancelled,
    JobNotFound,
    JobTerminated,
    ModelCorrupted,
    NotAudio,
    V2TError,
)
from v2t.domain.jobs import Chunk, Cut, CutRequest, JobState, Piece, Stage, TranscribeRequest, transcript_key
from v2t.domain.ports import OnProgress
from v2t.testing import FakeAudioTools

SHORT = FakeAudioTools(10.0)
LONG = FakeAudioTools(900.0, 60.0)
CHUNKS = 15
"""Of LONG, in three windows: of 2 minutes, of 8, and what is left."""


@pytest.fixture
async def short(server: str) -> AsyncIterator[FakeCluster]:
    async with fake_cluster(server, ScriptedTranscriber(), SHORT) as cluster:
        yield cluster


@pytest.fixture
async def long(server: str) -> AsyncIterator[FakeCluster]:
    async with fake_cluster(server, ScriptedTranscriber(), LONG) as cluster:
        yield cluster


class RefusingTools(FakeAudioTools):
    async def cut(self, source: object, request: CutRequest, folder: object, on_progress: OnProgress) -> Cut:
        raise NotAudio("talk.wav is a text file")


class SilentTools(FakeAudioTools):
    async def cut(self, source: object, request: CutRequest, folder: object, on_progress: OnProgress) -> Cut:
        return Cut((), (Piece(0.0, 30.0),), 30.0, finished=True, duration_seconds=30.0, warnings=("quiet",))


class StubbornTools(FakeAudioTools):
    """After the first window, cut whatever happens, but only once told that the cancellation is under way."""

    def __init__(self, duration_seconds: float, chunk_seconds: float) -> None:
        super().__init__(duration_seconds, chunk_seconds)
        self.cutting = asyncio.Event()

    async def cut(self, source: object, request: CutRequest, folder: object, on_progress: OnProgress) -> Cut:
        if request.start:
            self.cutting.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return await super().cut(source, request, folder, on_progress)  # type: ignore[arg-type]


class CountingTools(FakeAudioTools):
    """Remembers for how many engines each window was to be cut; three where it is not told."""

    def __init__(self, duration_seconds: float, chunk_seconds: float) -> None:
        super().__init__(duration_seconds, chunk_seconds)
        self.engines: list[int] = []

    async def cut(self, source: object, request: CutRequest, folder: object, on_progress: OnProgress) -> Cut:
        self.engines.append(request.engines)
        cut = await super().cut(source, request, folder, on_progress)  # type: ignore[arg-type]
        return replace(cut, engines=request.engines or 3)


async def until_asked(cluster: FakeCluster, calls: int = 1) -> None:
    await until(lambda: len(cluster.transcriber.asked) >= calls, f"{calls} chunks are being transcribed")


async def test_a_small_file_takes_one_activity_and_few_events(short: FakeCluster) -> None:
    request = await short.submit()
    result = await short.result(request)
    events = await short.event_types(request)
    assert events.count("ACTIVITY_TASK_SCHEDULED") == 1
    assert len(events) <= 12
    assert (result.words, result.language, result.provider) == (1, "en", "scripted")


async def test_a_finished_job_leaves_a_transcript_a_record_and_no_chunks(short: FakeCluster) -> None:
    request = await short.submit()
    result = await short.result(request)
    transcript = short.transcript(request)
    record = short.records.get(request.job_id)
    assert (transcript.text, transcript.job_id, transcript.source) == ("chunk0", request.job_id, "talk.wav")
    assert record is not None
    assert (record.state, record.words, record.audio_seconds) == (JobState.COMPLETED, 1, 10.0)
    assert record.transcript_key == result.transcript_key
    assert short.store.list_keys(f"{request.job_id}/") == [result.transcript_key]


async def test_a_long_file_is_transcribed_in_parallel_and_merged_in_order(long: FakeCluster) -> None:
    request = await long.submit()
    await long.result(request)
    transcript = long.transcript(request)
    assert sorted(index for index, _ in long.transcriber.asked) == list(range(CHUNKS))
    assert [segment.text for segment in transcript.segments] == [f"chunk{index}" for index in range(CHUNKS)]
    assert transcript.segments[-1].start > transcript.segments[0].start + 800
    assert long.transcriber.most_running > 1
    assert transcript.timings.engine_seconds == pytest.approx(CHUNKS * 0.5)


@pytest.mark.parametrize("small", [False, True])
async def test_all_windows_are_cut_for_the_engines_of_the_first(server: str, small: bool) -> None:
    tools = CountingTools(900.0, 60.0)
    async with fake_cluster(server, ScriptedTranscriber(), tools) as cluster:
        cluster.size_bytes = 4 if small else cluster.size_bytes
        await cluster.result(await cluster.submit())
    assert tools.engines == [0, 3, 3]


async def test_no_more_chunks_at_once_than_there_are_slots(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), LONG, slots=2) as cluster:
        request = await cluster.submit()
        await cluster.result(request)
    assert cluster.transcriber.most_running == 2


async def test_transcription_begins_before_a_long_file_is_cut_to_its_end(server: str) -> None:
    transcriber = ScriptedTranscriber()

    class Slow(FakeAudioTools):
        async def cut(self, source: object, request: CutRequest, folder: object, on_progress: OnProgress) -> Cut:
            if request.start:
                await until(lambda: transcriber.asked, "a chunk of the first window is transcribed")
            return await super().cut(source, request, folder, on_progress)  # type: ignore[arg-type]

    async with fake_cluster(server, transcriber, Slow(900.0, 60.0)) as cluster:
        request = await cluster.submit()
        await cluster.result(request)
    assert len(cluster.transcript(request).segments) == CHUNKS


async def test_silence_gives_an_empty_transcript_that_says_so(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), SilentTools()) as cluster:
        request = await cluster.submit()
        result = await cluster.result(request)
    transcript = cluster.transcript(request)
    assert (transcript.text, transcript.language, transcript.duration_seconds) == ("", None, 30.0)
    assert [(span.start, span.end, span.reason.value) for span in transcript.dropped] == [(0.0, 30.0, "no_speech")]
    assert result.warnings == ("quiet", "no speech was found")


async def test_a_chunk_that_fails_twice_is_tried_again(server: str, quick_retries: RetryPolicy) -> None:
    def answer(chunk: Chunk, attempt: int) -> str | V2TError:
        return EngineCrashed("The child process died (SIGSEGV).") if chunk.index == 3 and attempt <= 2 else "en"

    async with fake_cluster(server, ScriptedTranscriber(answer), LONG) as cluster:
        request = await cluster.submit()
        await cluster.result(request)
    attempts = [index for index, _ in cluster.transcriber.asked]
    assert attempts.count(3) == 3
    assert len(attempts) == CHUNKS + 2
    assert len(cluster.transcript(request).segments) == CHUNKS


async def test_a_chunk_that_always_fails_ends_the_job_with_its_reason(server: str, quick_retries: RetryPolicy) -> None:
    def answer(chunk: Chunk, attempt: int) -> str | V2TError:
        return EngineCrashed(f"The child process died, attempt {attempt}.") if chunk.index == 3 else "en"

    async with fake_cluster(server, ScriptedTranscriber(answer), LONG) as cluster:
        request = await cluster.submit()
        with pytest.raises(EngineCrashed, match="attempt 3"):
            await cluster.result(request)
        record = cluster.records.get(request.job_id)
    assert record is not None
    assert (record.state, record.error_code) == (JobState.FAILED, "EngineCrashed")
    assert [index for index, _ in cluster.transcriber.asked].count(3) == quick_retries.maximum_attempts


async def test_what_cannot_get_better_fails_at_once_with_its_name(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), RefusingTools()) as cluster:
        request = await cluster.submit()
        with pytest.raises(NotAudio, match=r"talk\.wav is a text file"):
            await cluster.result(request)
        record = cluster.records.get(request.job_id)
        events = await cluster.event_types(request)
        view = await cluster.client.describe(request.job_id)
    assert events.count("ACTIVITY_TASK_SCHEDULED") == 2  # the cut, and the record of its failure
    assert record is not None
    assert (record.state, record.error_code, record.error_message) == (
        JobState.FAILED,
        "NotAudio",
        "talk.wav is a text file",
    )
    assert view.state == JobState.FAILED


async def test_one_chunk_that_cannot_work_ends_the_others(server: str) -> None:
    transcriber = ScriptedTranscriber(lambda chunk, _: ModelCorrupted("bad file") if chunk.index == 1 else "en")
    async with fake_cluster(server, transcriber, LONG) as cluster:
        request = await cluster.submit()
        with pytest.raises(ModelCorrupted, match="bad file"):
            await cluster.result(request)
    assert transcriber.running == 0
    assert [index for index, _ in transcriber.asked].count(1) == 1


async def test_a_failed_job_goes_on_from_its_finished_chunks(server: str) -> None:
    def answer(_chunk: Chunk, _attempt: int) -> str | V2TError:
        return ModelCorrupted("bad file") if len(transcriber.asked) == 6 else "en"

    transcriber = ScriptedTranscriber(answer)
    async with fake_cluster(server, transcriber, LONG, slots=1) as cluster:
        request = await cluster.submit()
        with pytest.raises(ModelCorrupted):
            await cluster.result(request)
        await cluster.client.submit(request)
        await cluster.result(request)
        record = cluster.records.get(request.job_id)
    asked = Counter(index for index, _ in transcriber.asked)
    # The chunk that failed, and with one slot at most one more that the failure cut off.
    assert sum(times > 1 for times in asked.values()) in {1, 2}
    assert len(asked) == CHUNKS
    assert record is not None
    assert (record.state, record.error_code) == (JobState.COMPLETED, "")
    assert len(cluster.transcript(request).segments) == CHUNKS


async def test_the_last_round_begins_when_a_chunk_is_finished(server: str) -> None:
    transcriber = ScriptedTranscriber()
    transcriber.hold = asyncio.Event()
    async with fake_cluster(server, transcriber, FakeAudioTools(300.0, 60.0, last_round_at=180.0), slots=8) as cluster:
        request = await cluster.submit()
        await until_asked(cluster, 3)
        await asyncio.sleep(0.3)  # the others would be asked for by now
        before = sorted(index for index, _ in transcriber.asked)
        transcriber.hold.set()
        await cluster.result(request)
    assert before == [0, 1, 2]
    assert len(cluster.transcript(request).segments) == 5


async def test_a_file_whose_speech_lies_all_in_its_last_round_waits_for_nothing(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), FakeAudioTools(300.0, 60.0, last_round_at=0.0)) as cluster:
        request = await cluster.submit()
        await cluster.result(request)
    assert len(cluster.transcript(request).segments) == 5


@pytest.mark.parametrize("tools", [SHORT, LONG], ids=["short", "long"])
async def test_cancelling_stops_the_computing_and_is_recorded(server: str, tools: FakeAudioTools) -> None:
    transcriber = ScriptedTranscriber()
    transcriber.hold = asyncio.Event()
    async with fake_cluster(server, transcriber, tools) as cluster:
        request = await cluster.submit()
        await until_asked(cluster, 1 if tools is SHORT else 4)
        running = transcriber.running
        begun = time.monotonic()
        await cluster.client.cancel(request.job_id)
        await until(lambda: transcriber.running == 0, "the computing stops", seconds=2)
        with pytest.raises(JobCancelled):
            await cluster.result(request)
        took = time.monotonic() - begun
        view = await cluster.client.describe(request.job_id)
        record = cluster.records.get(request.job_id)
    assert took < 4
    assert transcriber.cancelled == running == len(transcriber.asked)
    assert view.state == JobState.CANCELLED
    assert record is not None
    assert (record.state, record.error_code) == (JobState.CANCELLED, "JobCancelled")
    assert not [key for key in cluster.store.list_keys(f"{request.job_id}/") if key.endswith(".wav")]


async def test_a_cut_that_is_finished_all_the_same_does_not_undo_the_cancellation(server: str) -> None:
    tools = StubbornTools(900.0, 60.0)
    async with fake_cluster(server, ScriptedTranscriber(), tools) as cluster:
        request = await cluster.submit()
        await tools.cutting.wait()
        await cluster.client.cancel(request.job_id)
        with pytest.raises(JobCancelled):
            await cluster.result(request)
        record = cluster.records.get(request.job_id)
    assert record is not None
    assert record.state == JobState.CANCELLED
    assert len(cluster.transcriber.asked) <= 2  # those of the first window


async def test_a_cancelled_job_goes_on_from_its_finished_chunks(server: str) -> None:
    transcriber = ScriptedTranscriber()
    async with fake_cluster(server, transcriber, LONG, slots=1) as cluster:
        request = await cluster.submit()
        await until_asked(cluster, 2)
        transcriber.hold = asyncio.Event()
        await until(lambda: transcriber.running, "a chunk is held")
        await cluster.client.cancel(request.job_id)
        with pytest.raises(JobCancelled):
            await cluster.result(request)
        finished = {key for key in cluster.store.list_keys(f"{request.job_id}/") if key.endswith(".json")}
        transcriber.hold = None
        before = len(transcriber.asked)
        await cluster.client.submit(request)
        await cluster.result(request)
    assert len(finished) >= 1
    assert len(transcriber.asked) - before == CHUNKS - len(finished)
    assert len(cluster.transcript(request).segments) == CHUNKS


async def test_the_language_is_voted_on_and_the_minority_done_again(server: str) -> None:
    transcriber = ScriptedTranscriber(lambda chunk, _: "cy" if chunk.index in {2, 7} else "en")
    async with fake_cluster(server, transcriber, LONG) as cluster:
        request = await cluster.submit()
        result = await cluster.result(request)
    assert result.language == "en"
    assert sorted(transcriber.asked[CHUNKS:]) == [(2, "en"), (7, "en")]
    transcript = cluster.transcript(request)
    assert len(transcript.segments) == CHUNKS
    assert transcript.language_probability == pytest.approx(0.9 * 13 / 15, abs=0.001)


async def test_a_language_that_was_told_is_not_voted_on(long: FakeCluster) -> None:
    request = await long.submit(language="de")
    result = await long.result(request)
    transcript = long.transcript(request)
    assert {language for _, language in long.transcriber.asked} == {"de"}
    assert (result.language, transcript.language_probability) == ("de", 1.0)


async def test_a_second_submit_joins_the_running_job(short: FakeCluster) -> None:
    short.transcriber.hold = asyncio.Event()
    request = await short.submit()
    await until_asked(short)
    await short.client.submit(request)
    short.transcriber.hold.set()
    first, second = await asyncio.gather(short.result(request), short.result(request))
    assert first == second
    assert len(short.transcriber.asked) == 1


async def test_a_completed_job_is_not_run_again_unless_it_is_asked_for(short: FakeCluster) -> None:
    request = await short.submit()
    await short.result(request)
    await short.client.submit(request)
    await short.result(request)
    assert len(short.transcriber.asked) == 1
    short.store.delete(transcript_key(request.job_id))
    await short.client.submit(request, again=True)
    await short.result(request)
    assert len(short.transcriber.asked) == 2


async def test_asking_again_ends_the_run_there_is(short: FakeCluster) -> None:
    short.transcriber.hold = asyncio.Event()
    request = await short.submit()
    await until_asked(short)
    waiting = asyncio.create_task(short.result(request))
    await asyncio.sleep(0.1)
    await short.client.submit(request, again=True)
    await until(lambda: short.transcriber.cancelled, "the computing of the old run stops", seconds=3)
    await until_asked(short, 2)
    short.transcriber.hold.set()
    await short.result(request)
    with pytest.raises(JobTerminated):
        await waiting


async def test_the_same_content_with_other_parameters_is_another_job(short: FakeCluster) -> None:
    first = await short.submit()
    second = replace(first, options=replace(first.options, language="de"))
    await short.client.submit(second)
    await asyncio.gather(short.result(first), short.result(second))
    assert short.transcript(first).language == "en"
    assert short.transcript(second).language == "de"


async def test_queries_tell_the_progress_and_the_request(long: FakeCluster) -> None:
    long.transcriber.hold = asyncio.Event()
    request = await long.submit()
    await until_asked(long, 4)
    async with asyncio.timeout(10):
        async for view in long.client.watch(request.job_id, every_seconds=0.05):
            if view.running_seconds:
                break
    assert view.state == JobState.RUNNING
    assert view.progress is not None
    assert (view.progress.stage, view.progress.chunks_finished) == (Stage.TRANSCRIBING, 0)
    assert view.progress.duration_seconds == 900.0
    assert 0 < view.running_seconds <= 4 * 30.0  # four chunks of 60 s, each half done
    assert await long.client.request(request.job_id) == request
    assert request.job_id in {
        listed.job_id for listed in await long.client.list_jobs() if listed.state == JobState.RUNNING
    }
    long.transcriber.hold.set()
    views = [view async for view in long.client.watch(request.job_id, every_seconds=0.05)]
    assert views[-1].state == JobState.COMPLETED
    assert views[-1].finished_at > views[-1].created_at
    assert await long.client.request(request.job_id) == request


async def test_a_step_that_is_being_retried_says_why(server: str, quick_retries: RetryPolicy) -> None:
    transcriber = ScriptedTranscriber(lambda _, attempt: EngineCrashed("It died.") if attempt == 1 else "en")
    async with fake_cluster(server, transcriber, SHORT) as cluster:
        request = await cluster.submit()
        await until_asked(cluster, 1)
        transcriber.hold = asyncio.Event()
        await until_asked(cluster, 2)
        view = await cluster.client.describe(request.job_id)
        transcriber.hold.set()
        await cluster.result(request)
    assert (view.attempt, view.last_failure) == (2, "It died.")


async def test_a_job_outlives_its_worker(server: str, quick_retries: RetryPolicy) -> None:
    transcriber = ScriptedTranscriber()
    transcriber.hold = asyncio.Event()
    async with fake_cluster(server, transcriber, SHORT) as cluster:
        request = await cluster.submit()
        await until_asked(cluster)
    assert transcriber.running == 0
    view = await cluster.client.describe(request.job_id)
    assert view.state == JobState.RUNNING
    transcriber.hold = None
    async with running_worker(cluster, SHORT):
        await cluster.result(request)
    assert cluster.transcript(request).text == "chunk0"


async def test_unknown_jobs_are_named(short: FakeCluster) -> None:
    for ask in (short.client.result, short.client.describe, short.client.cancel, short.client.request):
        with pytest.raises(JobNotFound, match="t-nobody"):
            await ask("t-nobody")


async def test_the_job_of_a_terminated_run_says_so(short: FakeCluster) -> None:
    short.transcriber.hold = asyncio.Event()
    request: TranscribeRequest = await short.submit()
    await until_asked(short)
    await short.client.temporal.get_workflow_handle(request.job_id).terminate()
    with pytest.raises(JobTerminated):
        await short.result(request)
    short.transcriber.hold.set()
    await until(lambda: short.records.get(request.job_id), "the step that nobody waits for has ended")
