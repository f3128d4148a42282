from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from support.cluster import NAMESPACE, FakeCluster, ScriptedTranscriber, fake_cluster, running_worker
from support.processes import until
from temporalio.common import RetryPolicy

from v2t.activities import steps
from v2t.client import Client
from v2t.domain.errors import EngineCrashed, JobCancelled, JobNotFound, ModelCorrupted, UsageError
from v2t.domain.jobs import JobState, Stage, TranscribeRequest, transcript_key
from v2t.domain.search import SEARCH_ATTRIBUTES
from v2t.testing import FakeAudioTools
from v2t.worker import runtime
from v2t.workflows import transcribe_file
from v2t.workflows.policies import CPU_QUEUE, GPU_QUEUE, HEARTBEAT_TIMEOUT, QUEUE, host_queue

SHORT = FakeAudioTools(10.0)
LONG = FakeAudioTools(300.0, 60.0)  # five chunks in two windows
FEW_BYTES, MANY_BYTES = 1000, 100_000_000
FAIR_SECONDS = 60


def held() -> ScriptedTranscriber:
    transcriber = ScriptedTranscriber()
    transcriber.hold = asyncio.Event()
    return transcriber


def let_go(transcriber: ScriptedTranscriber) -> None:
    assert transcriber.hold
    transcriber.hold.set()
    transcriber.hold = None


async def attributes(cluster: FakeCluster, request: TranscribeRequest) -> dict[str, object]:
    """All but `BuildIds`, which Temporal adds by itself once a worker has taken the job, so sooner or later."""
    description = await cluster.client.temporal.get_workflow_handle(request.job_id).describe()
    found = {pair.key.name: pair.value for pair in description.typed_search_attributes}
    found.pop("BuildIds", None)
    return found


async def activities(cluster: FakeCluster, request: TranscribeRequest) -> list[tuple[str, str, int]]:
    """Type, queue and priority of every step of a job."""
    history = await cluster.client.temporal.get_workflow_handle(request.job_id).fetch_history()
    scheduled = [
        event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    return [(one.activity_type.name, one.task_queue.name, one.priority.priority_key) for one in scheduled]


async def until_queued(cluster: FakeCluster, *requests: TranscribeRequest) -> None:
    """Wait until the small files wait for an engine."""
    async with asyncio.timeout(30):
        for request in requests:
            while not await activities(cluster, request):  # noqa: ASYNC110 - a history is no event
                await asyncio.sleep(0.1)


def finished_before(cluster: FakeCluster, one: TranscribeRequest, many: list[TranscribeRequest]) -> int:
    """How many of the many were done before the one."""
    ended = [record.finished_at for each in (one, *many) if (record := cluster.records.get(each.job_id))]
    assert len(ended) == len(many) + 1
    return sum(moment < ended[0] for moment in ended[1:])


async def test_a_short_file_of_many_bytes_takes_two_steps_and_few_events(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), SHORT) as cluster:
        cluster.size_bytes = MANY_BYTES
        request = await cluster.submit()
        await cluster.result(request)
        steps = await activities(cluster, request)
        events = await cluster.event_types(request)
    assert [name for name, _, _ in steps] == ["cut_audio", "transcribe_short"]
    assert len(events) <= 25


async def test_a_long_file_of_few_bytes_goes_on_as_any_long_file(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), LONG, host="m4-1") as cluster:
        cluster.size_bytes = FEW_BYTES
        request = await cluster.submit()
        result = await cluster.result(request)
        steps = await activities(cluster, request)
    names = [name for name, _, _ in steps]
    assert (names[0], names.count("transcribe_chunk"), names[-1]) == ("transcribe_small", 5, "merge_transcript")
    assert [queue for name, queue, _ in steps if name == "cut_audio"] == [host_queue("m4-1")]
    assert result.duration_seconds == 300.0


async def test_a_job_can_be_searched_for(server: str) -> None:
    async with fake_cluster(server, held(), SHORT) as cluster:
        request = await cluster.submit(user="ada", batch_id="b-1")
        assert await attributes(cluster, request) == {"V2tUser": "ada", "V2tBatch": "b-1"}
        let_go(cluster.transcriber)
        await cluster.result(request)
        ended = await attributes(cluster, request)
    assert ended == {
        "V2tUser": "ada",
        "V2tBatch": "b-1",
        "V2tProvider": "scripted",
        "V2tLanguage": "en",
        "V2tStatus": "completed",
        "V2tAudioSeconds": 10.0,
    }


async def test_a_failed_job_can_be_searched_for(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(lambda *_: ModelCorrupted("bad file")), SHORT) as cluster:
        request = await cluster.submit()
        with pytest.raises(ModelCorrupted):
            await cluster.result(request)
        assert (await attributes(cluster, request))["V2tStatus"] == "failed"


async def test_one_users_many_files_do_not_starve_another_ones(server: str) -> None:
    async with fake_cluster(server, held(), SHORT, slots=1) as cluster:
        many = [await cluster.submit(user="greedy") for _ in range(30)]
        await until_queued(cluster, *many)
        one = await cluster.submit(user="modest")
        await until_queued(cluster, one)
        let_go(cluster.transcriber)
        async with asyncio.timeout(FAIR_SECONDS):
            await cluster.client.result(one.job_id)
            await asyncio.gather(*(cluster.client.result(request.job_id) for request in many))
    assert finished_before(cluster, one, many) <= 5


async def test_a_more_urgent_file_goes_first(server: str) -> None:
    async with fake_cluster(server, held(), SHORT, slots=1) as cluster:
        many = [await cluster.submit(priority=4) for _ in range(10)]
        await until_queued(cluster, *many)
        urgent = await cluster.submit(priority=1)
        await until_queued(cluster, urgent)
        let_go(cluster.transcriber)
        async with asyncio.timeout(FAIR_SECONDS):
            await cluster.client.result(urgent.job_id)
            await asyncio.gather(*(cluster.client.result(request.job_id) for request in many))
    assert finished_before(cluster, urgent, many) <= 4


async def test_a_paused_job_begins_no_chunk_and_goes_on_when_it_is_resumed(server: str) -> None:
    async with fake_cluster(server, held(), FakeAudioTools(900.0, 60.0), slots=2) as cluster:
        request = await cluster.submit()
        await until(lambda: cluster.transcriber.running == 2, "two chunks are transcribed")
        await cluster.client.pause(request.job_id)
        view = await cluster.client.describe(request.job_id)
        assert view.progress is not None
        assert view.progress.stage is Stage.PAUSED
        let_go(cluster.transcriber)
        await until(lambda: cluster.transcriber.running == 0, "the chunks that ran are finished")
        await asyncio.sleep(1)
        assert len(cluster.transcriber.asked) == 2
        assert cluster.transcriber.cancelled == 0
        await cluster.client.resume(request.job_id)
        await cluster.result(request)
    assert len(cluster.transcriber.asked) == 15


async def test_a_paused_job_can_be_cancelled(server: str) -> None:
    async with fake_cluster(server, held(), LONG, slots=1) as cluster:
        request = await cluster.submit()
        await until(lambda: cluster.transcriber.running == 1, "a chunk is transcribed")
        await cluster.client.pause(request.job_id)
        await cluster.client.cancel(request.job_id)
        with pytest.raises(JobCancelled):
            await cluster.result(request)


async def test_later_steps_have_the_priority_that_was_set(server: str) -> None:
    async with fake_cluster(server, held(), LONG) as cluster:
        request = await cluster.submit(priority=5)
        await until(lambda: cluster.transcriber.running == 4, "four chunks are transcribed")
        await cluster.client.set_priority(request.job_id, 1)
        let_go(cluster.transcriber)
        await cluster.result(request)
        steps = await activities(cluster, request)
    assert steps[0] == ("cut_audio", QUEUE, 5)
    assert steps[-1] == ("merge_transcript", QUEUE, 1)


async def test_what_cannot_be_asked_of_a_job_is_said(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), SHORT) as cluster:
        request = await cluster.submit()
        await cluster.result(request)
        with pytest.raises(UsageError, match="6 is no priority"):
            await cluster.client.set_priority(request.job_id, 6)
        with pytest.raises(JobNotFound, match="does not run any more"):
            await cluster.client.pause(request.job_id)
        with pytest.raises(JobNotFound, match="There is no job t-nobody"):
            await cluster.client.resume("t-nobody")


async def test_a_job_goes_to_the_queue_it_names(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), SHORT) as cluster:
        request = await cluster.submit(queue=GPU_QUEUE)
        await until_queued(cluster, request)
        found = await activities(cluster, request)
        await cluster.client.cancel(request.job_id)
    assert found == [("transcribe_small", GPU_QUEUE, 3)]
    assert replace(request, queue="").job_id == request.job_id


async def test_the_rest_of_a_long_file_is_cut_where_its_source_is(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), LONG, host="m4-1") as cluster:
        request = await cluster.submit()
        await cluster.result(request)
        steps = await activities(cluster, request)
    cuts = [queue for name, queue, _ in steps if name == "cut_audio"]
    assert cuts == [QUEUE, host_queue("m4-1")]
    assert {queue for name, queue, _ in steps if name == "transcribe_chunk"} == {CPU_QUEUE}


async def test_another_machine_cuts_on_when_the_first_is_gone(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcribe_file, "HOST_QUEUE_WAIT", timedelta(seconds=1))
    cluster = FakeCluster(await Client.connect(server, NAMESPACE), ScriptedTranscriber())
    async with running_worker(cluster, LONG, host="m4-1", polls_host=False):
        request = await cluster.submit()
        await cluster.result(request)
        steps = await activities(cluster, request)
    cuts = [queue for name, queue, _ in steps if name == "cut_audio"]
    assert cuts == [QUEUE, host_queue("m4-1"), QUEUE]
    assert len(cluster.transcript(request).segments) == 5


async def test_a_transcript_that_stands_is_the_answer_of_a_new_run(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), SHORT) as cluster:
        request = await cluster.submit()
        first = await cluster.result(request)
        await cluster.client.submit(request, again=True)  # as if Temporal had forgotten the first run
        second = await cluster.result(request)
        steps = await activities(cluster, request)
    assert first == second
    assert [name for name, _, _ in steps] == ["transcribe_small"]
    assert len(cluster.transcriber.asked) == 1


async def test_a_job_whose_transcript_is_gone_runs_once_more_for_all_who_miss_it(server: str) -> None:
    async with fake_cluster(server, ScriptedTranscriber(), SHORT) as cluster:
        request = await cluster.submit()
        await cluster.result(request)
        cluster.store.delete(transcript_key(request.job_id))
        cluster.transcriber.hold = asyncio.Event()
        await cluster.client.submit(request, lost=True)
        await until(lambda: len(cluster.transcriber.asked) == 2, "it is transcribed again")
        await cluster.client.submit(request, lost=True)
        let_go(cluster.transcriber)
        await cluster.result(request)
    assert len(cluster.transcriber.asked) == 2
    assert cluster.transcript(request).text == "chunk0"


async def test_each_try_of_a_provider_is_kept(server: str, quick_retries: RetryPolicy) -> None:
    transcriber = ScriptedTranscriber(lambda _, attempt: EngineCrashed("It died.") if attempt == 1 else "en")
    async with fake_cluster(server, transcriber, SHORT) as cluster:
        request = await cluster.submit(batch_id="b-2")
        await cluster.result(request)
        attempts = cluster.records.attempts(request.job_id)
        record = cluster.records.get(request.job_id)
    assert [(one.attempt, one.provider, one.error_code) for one in attempts] == [
        (1, "scripted", "EngineCrashed"),
        (2, "scripted", ""),
    ]
    assert record is not None
    assert (record.batch_id, record.engine_seconds, record.state) == ("b-2", 0.5, JobState.COMPLETED)


def test_a_dead_worker_is_noticed_within_fifteen_seconds() -> None:
    beats = steps._BEAT_SECONDS + runtime._HEARTBEAT_THROTTLE.total_seconds()
    assert 3 * beats < HEARTBEAT_TIMEOUT.total_seconds()
    assert HEARTBEAT_TIMEOUT.total_seconds() + beats <= 15


async def test_a_namespace_is_prepared_once_and_again(server: str) -> None:
    client = await Client.connect(server, "prepared")
    await client.prepare_namespace(7)
    await client.prepare_namespace(7)
    async with fake_cluster(server, ScriptedTranscriber(), SHORT, namespace="prepared") as cluster:
        request = await cluster.submit(user="ada")
        await cluster.result(request)
        assert set(SEARCH_ATTRIBUTES) <= set(await attributes(cluster, request))


async def workers_seen(client: Client) -> dict[str, set[str]]:
    """Queue → which processes of the machine m4-7 poll it."""
    return {
        queue.name: {poller.identity for poller in queue.pollers if poller.identity.startswith("m4-7:")}
        for queue in await client.queue_facts()
    }


async def test_queues_tell_their_workers(server: str) -> None:
    client = await Client.connect(server, NAMESPACE)
    async with fake_cluster(server, ScriptedTranscriber(), SHORT, host="m4-7"):
        async with asyncio.timeout(20):
            while not (seen := await workers_seen(client))[QUEUE] & seen[CPU_QUEUE]:  # noqa: ASYNC110 - polls are no event
                await asyncio.sleep(0.1)
    assert len(seen[QUEUE]) == 1
