"""Record how batches, uploads and retention run today.

`PYTHONPATH=tests python tests/workflows/record_batch_histories.py [NAME...]`

As in `record_histories.py`, each history is a promise to what runs while v2t is upgraded: record a new one for a
new path through a workflow, and never replace an old one to make `test_replay_batches.py` pass.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

from support.batches import BatchCluster, batch_cluster
from support.cluster import temporal_server
from support.processes import until
from temporalio.client import WorkflowHistory

from v2t.client import batches
from v2t.client.batches import cancel_batch, pause_batch, take_upload
from v2t.domain.batches import BatchItem
from v2t.domain.errors import JobCancelled, ModelCorrupted, V2TError
from v2t.domain.jobs import Chunk
from v2t.domain.retention import RetentionPolicy
from v2t.domain.uploads import SweepRequest
from v2t.workflows.apply_retention import ApplyRetention
from v2t.workflows.policies import QUEUE
from v2t.workflows.sweep_uploads import SweepUploads

HISTORIES = Path(__file__).parent / "batch_histories"

Histories = dict[str, WorkflowHistory]
Scenario = Callable[[str], Awaitable[Histories]]


async def _fetch(cluster: BatchCluster, workflow_id: str, run_id: str | None = None) -> WorkflowHistory:
    return await cluster.client.temporal.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()


async def _first_run(cluster: BatchCluster, workflow_id: str) -> WorkflowHistory:
    found = cluster.client.temporal.list_workflows(f"WorkflowId = '{workflow_id}'")
    runs = sorted([(run.start_time, run.run_id) async for run in found])
    return await _fetch(cluster, workflow_id, runs[0][1])


async def with_failures(address: str) -> Histories:
    broken: set[str] = set()

    def answer(chunk: Chunk, _attempt: int) -> str | V2TError:
        return ModelCorrupted("bad file") if chunk.key.split("/")[0] in broken else "en"

    async with batch_cluster(address, answer) as cluster:
        items = [*cluster.items(22), cluster.item("twin.wav", "talk000.wav")]
        broken.add(items[2].identity)
        result = await cluster.run(items)
        return {
            "batch_with_failures": await _fetch(cluster, result.batch_id),
            "group_with_failures": await _fetch(cluster, f"{result.batch_id}/g000000"),
        }


async def lingering(address: str) -> Histories:
    async with batch_cluster(address) as cluster:
        result = await cluster.run(cluster.items(20))
        return {"group_lingering": await _fetch(cluster, f"{result.batch_id}/g000000")}


async def continued(address: str) -> Histories:
    async with batch_cluster(address) as cluster:
        with patch.object(batches, "GROUPS_A_RUN", 1):
            batch = await cluster.submit(cluster.items(45))
        await cluster.result(batch)
        return {"batch_continued": await _first_run(cluster, batch)}


async def cancelled(address: str) -> Histories:
    async with batch_cluster(address) as cluster:
        cluster.transcriber.hold = asyncio.Event()
        batch = await cluster.submit(cluster.items(45), groups_in_flight=1)
        await until(lambda: len(cluster.transcriber.asked) == 8, "the slots are taken", 30)
        await pause_batch(cluster.client, batch)
        await cancel_batch(cluster.client, batch)
        with suppress(JobCancelled):
            await cluster.result(batch)
        return {
            "batch_cancelled": await _fetch(cluster, batch),
            "group_cancelled": await _fetch(cluster, f"{batch}/g000000"),
        }


async def followed(address: str) -> Histories:
    async with batch_cluster(address) as cluster:
        cluster.transcriber.hold = asyncio.Event()
        items = cluster.items(2)
        for item in items:
            assert item.request
            await cluster.client.submit(item.request)
        batch = await cluster.submit(items)
        group = f"{batch}/g000000"
        await cluster.until_event(group, "START_CHILD_WORKFLOW_EXECUTION_FAILED", times=2)
        await cluster.client.cancel(items[0].identity)  # and so the batch starts it anew
        await until(lambda: len(cluster.transcriber.asked) == 3, "it is started anew", 30)
        cluster.transcriber.hold.set()
        await cluster.result(batch)
        return {"group_followed": await _fetch(cluster, group)}


async def uploads(address: str) -> Histories:
    async with batch_cluster(address) as cluster:
        taken, other = (
            cluster.drop(f"incoming/alice/{name}.wav", f"{name} {cluster.options.prompt}") for name in ("a", "b")
        )
        await take_upload(cluster.client, taken, cluster.options)
        await cluster.client.temporal.get_workflow_handle(taken.upload_id).result()
        history = await _fetch(cluster, taken.upload_id)
        await take_upload(cluster.client, taken, cluster.options)
        await cluster.client.temporal.get_workflow_handle(taken.upload_id).result()
        items = [BatchItem(upload.name, upload.size_bytes, upload=upload) for upload in (taken, other)]
        result = await cluster.run(items)
        return {
            "take_upload": history,
            "take_upload_again": await _fetch(cluster, taken.upload_id),
            "group_of_uploads": await _fetch(cluster, f"{result.batch_id}/g000000"),
        }


async def sweep(address: str) -> Histories:
    async with batch_cluster(address) as cluster:
        for number in range(4):
            cluster.drop(f"incoming/alice/{number}.wav", f"{number} {cluster.options.prompt}")
        request = SweepRequest(cluster.options)
        handle = await cluster.client.temporal.start_workflow(SweepUploads.run, request, id="sweep", task_queue=QUEUE)
        await handle.result()
        return {"sweep": await _fetch(cluster, "sweep"), "sweep_continued": await _first_run(cluster, "sweep")}


async def retention(address: str) -> Histories:
    async with batch_cluster(address) as cluster:
        policy = RetentionPolicy(audio_days=1, archive_days=2, delete_days=3)
        handle = await cluster.client.temporal.start_workflow(ApplyRetention.run, policy, id="r", task_queue=QUEUE)
        await handle.result()
        return {"retention": await _fetch(cluster, "r")}


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (with_failures, lingering, continued, cancelled, followed, uploads, sweep, retention)
}


async def record(address: str, name: str) -> None:
    async with asyncio.timeout(120):
        for saved, history in (await SCENARIOS[name](address)).items():
            (HISTORIES / f"{saved}.json").write_text(history.to_json() + "\n")
            print(f"{saved}: {len(history.events)} events")


def main() -> None:
    names = sys.argv[1:] or list(SCENARIOS)
    with tempfile.TemporaryDirectory() as folder, temporal_server(Path(folder)) as address:
        for name in names:
            asyncio.run(record(address, name))


if __name__ == "__main__":
    main()
