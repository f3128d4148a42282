from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from support.batches import BatchCluster, batch_cluster
from support.processes import until

from v2t.client import batches
from v2t.client.batches import (
    batch_progress,
    cancel_batch,
    describe_batch,
    list_batches,
    pause_batch,
    prioritise_batch,
    watch_batch,
)
from v2t.domain.batches import BatchItem, BatchTotals
from v2t.domain.errors import JobCancelled, JobNotFound, ModelCorrupted, V2TError
from v2t.domain.jobs import Chunk, JobState, archive_key, transcript_key

_MEGABYTE = 1024 * 1024


@pytest.fixture
async def cluster(server: str) -> AsyncIterator[BatchCluster]:
    async with batch_cluster(server) as opened:
        yield opened


def large(items: list[BatchItem]) -> list[BatchItem]:
    """The same files, said to be so large that a group has five of them."""
    return [replace(item, size_bytes=60 * _MEGABYTE) for item in items]


async def until_asked(cluster: BatchCluster, times: int) -> None:
    await until(lambda: len(cluster.transcriber.asked) >= times, f"{times} files are asked for", 30)


def failing(*names: str) -> tuple[dict[str, bool], object]:
    """What to give a cluster as `answer`, and which job ids are to fail, to be filled in."""
    broken: dict[str, bool] = dict.fromkeys(names, True)

    def answer(chunk: Chunk, _attempt: int) -> str | V2TError:
        return ModelCorrupted("bad file") if broken.get(chunk.key.split("/")[0]) else "en"

    return broken, answer


async def test_every_file_of_a_batch_has_its_transcript_and_its_line_in_the_report(cluster: BatchCluster) -> None:
    items = cluster.items(45)
    result = await cluster.run(items)
    report = cluster.report(result.batch_id)
    assert result.totals == BatchTotals(completed=45, audio_seconds=450.0)
    assert set(report) == {item.name for item in items}
    for item in items:
        assert item.request
        outcome = report[item.name]
        assert (outcome.state, outcome.job_id, outcome.words) == (JobState.COMPLETED, item.request.job_id, 1)
        assert cluster.store.exists(outcome.transcript_key)
    record = cluster.records.get(report["talk000.wav"].job_id)
    assert record
    assert record.user == "alice"


async def test_a_group_is_not_woken_for_every_start_and_every_end_of_a_file(cluster: BatchCluster) -> None:
    result = await cluster.run(cluster.items(20))
    events = await cluster.event_types(f"{result.batch_id}/g000000")
    assert events.count("CHILD_WORKFLOW_EXECUTION_STARTED") + events.count("CHILD_WORKFLOW_EXECUTION_COMPLETED") == 40
    assert events.count("WORKFLOW_TASK_COMPLETED") <= 15


async def test_bad_files_do_not_sink_their_batch_and_only_they_are_tried_again(server: str) -> None:
    broken, answer = failing()
    async with batch_cluster(server, answer) as cluster:  # type: ignore[arg-type]
        items = cluster.items(25)
        bad = [items[3], items[22]]
        broken.update({item.identity: True for item in bad})
        result = await cluster.run(items)
        report = cluster.report(result.batch_id)
        assert (result.totals.completed, result.totals.failed) == (23, 2)
        for item in bad:
            outcome = report[item.name]
            assert (outcome.state, outcome.error_code, outcome.error_message) == (
                JobState.FAILED,
                "ModelCorrupted",
                "bad file",
            )
        asked = len(cluster.transcriber.asked)
        broken.clear()
        again = await cluster.run(items)
        assert again.batch_id == result.batch_id
        assert again.totals == BatchTotals(completed=25, audio_seconds=250.0)
        assert len(cluster.transcriber.asked) - asked == 2


async def test_the_same_files_in_another_order_are_the_same_batch_and_cost_nothing_again(
    cluster: BatchCluster,
) -> None:
    items = cluster.items(6)
    first = await cluster.run(items)
    second = await cluster.run(items[::-1])
    assert second == first
    assert len(cluster.transcriber.asked) == 6


async def test_a_file_twice_in_a_batch_is_one_job(cluster: BatchCluster) -> None:
    twins = [cluster.item(f"twin{number}.wav", "same") for number in range(23)]
    result = await cluster.run(twins)
    report = cluster.report(result.batch_id)
    group = await cluster.event_types(f"{result.batch_id}/g000000")
    assert group.count("START_CHILD_WORKFLOW_EXECUTION_INITIATED") == 1
    assert len(cluster.transcriber.asked) == 1
    assert len(report) == 23
    assert len({outcome.job_id for outcome in report.values()}) == 1
    assert result.totals.completed == 23


async def test_an_archived_transcript_is_found(cluster: BatchCluster) -> None:
    items = cluster.items(2)
    job_id = items[0].identity
    cluster.store.put_bytes(archive_key(job_id), b"old")
    result = await cluster.run(items)
    assert cluster.report(result.batch_id)["talk000.wav"].transcript_key == archive_key(job_id)
    assert len(cluster.transcriber.asked) == 1


async def test_the_same_batch_submitted_twice_at_once_is_one(cluster: BatchCluster) -> None:
    items = cluster.items(8)
    first, second = await asyncio.gather(cluster.submit(items), cluster.submit(items))
    assert first == second
    await cluster.result(first)
    assert await cluster.runs(first) == 1
    assert len(cluster.transcriber.asked) == 8


async def test_a_job_that_somebody_else_started_is_followed(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    items = cluster.items(3)
    assert items[0].request
    await cluster.client.submit(items[0].request)
    await until_asked(cluster, 1)
    batch = await cluster.submit(items)
    await until_asked(cluster, 3)
    cluster.transcriber.hold.set()
    result = await cluster.result(batch)
    assert result.totals == BatchTotals(completed=3, audio_seconds=30.0)
    assert len(cluster.transcriber.asked) == 3


async def test_cancelling_a_batch_leaves_the_job_that_somebody_else_started(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    items = cluster.items(3)
    foreign = items[0].request
    assert foreign
    await cluster.client.submit(foreign)
    batch = await cluster.submit(items)
    await until_asked(cluster, 3)
    await cancel_batch(cluster.client, batch)
    with pytest.raises(JobCancelled):
        await cluster.result(batch)
    assert cluster.transcriber.cancelled == 2
    report = cluster.report(batch)
    assert [outcome.state for outcome in report.values()] == [JobState.CANCELLED] * 3
    assert (await describe_batch(cluster.client, batch)).state == JobState.CANCELLED
    cluster.transcriber.hold.set()
    async with asyncio.timeout(30):
        await cluster.client.result(foreign.job_id)


async def test_a_followed_job_that_its_owner_cancels_is_started_anew(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    items = cluster.items(1)
    assert items[0].request
    await cluster.client.submit(items[0].request)
    await until_asked(cluster, 1)
    batch = await cluster.submit(items)
    await cluster.until_event(f"{batch}/g000000", "START_CHILD_WORKFLOW_EXECUTION_FAILED")
    await cluster.client.cancel(items[0].identity)
    await until_asked(cluster, 2)
    cluster.transcriber.hold.set()
    assert (await cluster.result(batch)).totals.completed == 1


async def test_a_completed_job_whose_transcript_is_lost_runs_again(cluster: BatchCluster) -> None:
    items = cluster.items(2)
    await cluster.run(items)
    cluster.store.delete(transcript_key(items[0].identity))
    result = await cluster.run(items)
    assert result.totals.completed == 2
    assert len(cluster.transcriber.asked) == 3
    assert cluster.store.exists(transcript_key(items[0].identity))


async def test_what_a_cancelled_batch_had_not_begun_stands_in_its_report(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    batch = await cluster.submit(large(cluster.items(12)), groups_in_flight=1)
    await until_asked(cluster, 5)
    await cancel_batch(cluster.client, batch)
    with pytest.raises(JobCancelled):
        await cluster.result(batch)
    report = cluster.report(batch)
    assert len(report) == 12
    assert {outcome.state for outcome in report.values()} == {JobState.CANCELLED}
    assert cluster.transcriber.cancelled == len(cluster.transcriber.asked) == 5
    assert cluster.transcriber.running == 0


async def test_no_more_groups_at_once_than_asked_for_and_none_begins_while_paused(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    batch = await cluster.submit(large(cluster.items(15)), groups_in_flight=1)
    await until_asked(cluster, 5)
    await pause_batch(cluster.client, batch)
    cluster.transcriber.hold.set()
    async with asyncio.timeout(30):
        async for view in watch_batch(cluster.client, batch, every_seconds=0.05):
            if view.progress and not view.progress.groups_running:
                break
    progress = await batch_progress(cluster.client, batch)
    assert progress
    assert (progress.files, progress.totals.completed, progress.paused) == (15, 5, True)
    assert len(cluster.transcriber.asked) == 5
    await pause_batch(cluster.client, batch, paused=False)
    assert (await cluster.result(batch)).totals.completed == 15


async def test_files_that_have_ended_count_before_their_group_has(cluster: BatchCluster) -> None:
    items = cluster.items(3)
    assert items[0].request
    await cluster.client.submit(items[0].request)
    async with asyncio.timeout(30):
        await cluster.client.result(items[0].identity)
    cluster.transcriber.hold = asyncio.Event()
    batch = await cluster.submit(items)
    await until_asked(cluster, 3)
    progress = await batch_progress(cluster.client, batch)
    assert progress
    assert (progress.totals.completed, progress.running) == (1, (0,))
    cluster.transcriber.hold.set()
    assert (await cluster.result(batch)).totals.completed == 3


async def test_a_new_priority_holds_for_the_groups_to_come(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    items = large(cluster.items(10))
    batch = await cluster.submit(items, groups_in_flight=1)
    await until_asked(cluster, 5)
    await prioritise_batch(cluster.client, batch, 1)
    cluster.transcriber.hold.set()
    await cluster.result(batch)
    assert (await cluster.client.request(items[0].identity)).priority == 3
    last = await cluster.client.request(items[9].identity)
    assert (last.priority, last.batch_id, last.user) == (1, batch, "alice")


async def test_a_long_batch_goes_on_in_a_new_run_and_keeps_count(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "GROUPS_A_RUN", 2)
    async with batch_cluster(server) as cluster:
        result = await cluster.run(large(cluster.items(23)))
        assert result.totals == BatchTotals(completed=23, audio_seconds=230.0)
        assert await cluster.runs(result.batch_id) == 3
        assert len(cluster.report(result.batch_id)) == 23
        assert result.batch_id in {view.batch_id for view in await list_batches(cluster.client)}


async def test_all_work_of_a_batch_is_found_by_its_user_and_name(cluster: BatchCluster) -> None:
    batch = await cluster.submit(cluster.items(3))
    await cluster.result(batch)
    query = f"V2tBatch = '{batch}' AND V2tUser = 'alice'"
    async with asyncio.timeout(30):  # the server's list lags behind
        while (await cluster.client.temporal.count_workflows(query)).count < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_group_that_cannot_be_read_fails_its_files_alone(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    items = large(cluster.items(10))
    batch = await cluster.submit(items, groups_in_flight=1)
    await until_asked(cluster, 5)
    cluster.store.delete(f"{batch}/groups/000001.json")
    cluster.transcriber.hold.set()
    result = await cluster.result(batch)
    assert result.totals.completed == 5


async def test_a_file_costs_its_group_a_child_and_nothing_else(cluster: BatchCluster) -> None:
    result = await cluster.run(cluster.items(20))
    group = await cluster.event_types(f"{result.batch_id}/g000000")
    batch = await cluster.event_types(result.batch_id)
    assert group.count("ACTIVITY_TASK_SCHEDULED") == 2
    assert group.count("START_CHILD_WORKFLOW_EXECUTION_INITIATED") == 20
    assert batch.count("ACTIVITY_TASK_SCHEDULED") == 1
    assert len(group) <= 20 * 9 + 20


async def test_unknown_batches_are_named(cluster: BatchCluster) -> None:
    with pytest.raises(JobNotFound, match="b-nobody"):
        await describe_batch(cluster.client, "b-nobody")
    with pytest.raises(JobNotFound, match="b-nobody"):
        await cancel_batch(cluster.client, "b-nobody")
