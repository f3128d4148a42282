"""Workers as a cluster has them: of several kinds and hosts, that come and go."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from support.cluster import NAMESPACE, FakeCluster, ScriptedTranscriber
from support.processes import until

from v2t.activities.transcription import TranscriptionActivities
from v2t.client import Client
from v2t.client.fleet import engines_of, kinds_of
from v2t.client.queues import queue_facts
from v2t.domain.jobs import TranscribeRequest
from v2t.testing import FakeAudioTools
from v2t.worker.runtime import Role, running_workers
from v2t.worker.watch import BOOKKEEPING, ENGINE, TaskWatch
from v2t.workflows.policies import MEMORY_QUEUE

LONG = FakeAudioTools(300.0, 60.0)
CUTS = 2  # windows of it
SLOTS = 2


@asynccontextmanager
async def worker(
    address: str, cluster: FakeCluster, role: Role, grace_seconds: float = 0.0
) -> AsyncIterator[TaskWatch]:
    """A worker with a connection of its own, as a process has."""
    watch = TaskWatch({ENGINE: SLOTS, BOOKKEEPING: role.bookkeeping_slots}, role.computing_queues)
    client = await Client.connect(address, NAMESPACE)
    with tempfile.TemporaryDirectory() as scratch:
        activities = TranscriptionActivities(
            cluster.store, cluster.records, LONG, lambda _name: cluster.transcriber, Path(scratch)
        )
        grace = timedelta(seconds=grace_seconds)
        async with running_workers(client, activities, SLOTS, grace=grace, role=role, interceptors=[watch]):
            yield watch


async def until_cut_for(cluster: FakeCluster, engines: int) -> None:
    """Wait until a worker for large models would cut a file for so many."""
    async with asyncio.timeout(10):
        while await engines_of(cluster.client, "memory", SLOTS)() != engines:  # noqa: ASYNC110 - Temporal tells nobody
            await asyncio.sleep(0.1)


async def failures_of_repeated_steps(cluster: FakeCluster, request: TranscribeRequest) -> set[str]:
    history = await cluster.client.temporal.get_workflow_handle(request.job_id).fetch_history()
    started = [event.activity_task_started_event_attributes for event in history.events]
    return {one.last_failure.application_failure_info.type for one in started if one.attempt > 1}


async def test_a_worker_that_ends_gives_back_what_it_computes_and_another_goes_on(server: str) -> None:
    cluster = FakeCluster(await Client.connect(server, NAMESPACE), ScriptedTranscriber())
    cluster.transcriber.hold = asyncio.Event()
    async with worker(server, cluster, Role(host="leaving")) as watch:
        request = await cluster.submit("en")
        await until(lambda: watch.used[ENGINE] == SLOTS and watch.outcomes["ok"] == CUTS, "it only computes", 30)
    assert (watch.used[ENGINE], watch.outcomes["given back"]) == (0, SLOTS)
    cluster.transcriber.hold.set()
    async with worker(server, cluster, Role(host="staying")) as watch:
        result = await cluster.result(request)
    assert result.words == 5
    assert await failures_of_repeated_steps(cluster, request) == {"GivenBack"}
    assert watch.last
    assert (watch.last.what, watch.last.outcome) == ("merge_transcript", "ok")


async def test_a_worker_with_time_to_drain_finishes_what_it_computes_and_begins_nothing(server: str) -> None:
    cluster = FakeCluster(await Client.connect(server, NAMESPACE), ScriptedTranscriber())
    cluster.transcriber.hold = asyncio.Event()
    async with worker(server, cluster, Role(host="leaving"), grace_seconds=60) as watch:
        request = await cluster.submit("en")
        await until(lambda: watch.used[ENGINE] == SLOTS, "all its slots are used", 30)
        asyncio.get_running_loop().call_later(1.0, cluster.transcriber.hold.set)
    assert watch.outcomes["given back"] == 0
    assert len(cluster.transcriber.asked) == SLOTS
    async with worker(server, cluster, Role(host="staying")):
        await cluster.result(request)
    assert len(cluster.transcriber.asked) == 5


async def test_a_gpu_worker_also_does_what_any_processor_could_within_its_slots(server: str) -> None:
    cluster = FakeCluster(await Client.connect(server, NAMESPACE), ScriptedTranscriber())
    async with worker(server, cluster, Role("gpu", "cards")):
        request = await cluster.submit("en")
        assert (await cluster.result(request)).words == 5
        facts = await queue_facts(cluster.client.temporal, ("v2t", "v2t-gpu", "v2t-cpu", "v2t-host-cards"))
    assert cluster.transcriber.most_running <= SLOTS
    for queue in facts:
        assert f"cards:{os.getpid()}:gpu" in {poller.identity for poller in queue.pollers}, queue.name


async def test_a_file_is_cut_for_all_workers_of_a_kind_and_for_one_of_them_while_others_wait(server: str) -> None:
    cluster = FakeCluster(await Client.connect(server, NAMESPACE), ScriptedTranscriber())
    cluster.transcriber.hold = asyncio.Event()
    async with worker(server, cluster, Role("memory", "big-1")), worker(server, cluster, Role("memory", "big-2")):
        await until_cut_for(cluster, 2 * SLOTS)
        request = await cluster.submit("en", queue=MEMORY_QUEUE)
        await until(lambda: len(cluster.transcriber.asked) == 2 * SLOTS, "all are busy, and a chunk waits", 30)
        await until_cut_for(cluster, SLOTS)
        assert "memory" in await kinds_of(cluster.client)()
        cluster.transcriber.hold.set()
        await cluster.result(request)
