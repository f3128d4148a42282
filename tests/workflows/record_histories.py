"""Record how the workflow runs today: `PYTHONPATH=tests python tests/workflows/record_histories.py [NAME...]`.

Each history is a promise to jobs that run while v2t is upgraded: `test_replay.py` replays them all. So record a new
one for a new path through the workflow, and never replace an old one to make the test pass.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import patch

from support.cluster import NAMESPACE, FakeCluster, ScriptedTranscriber, fake_cluster, running_worker, temporal_server
from support.processes import until

from v2t.client import Client
from v2t.domain.errors import CredentialsRefused, EngineCrashed, ModelCorrupted, ProviderRejected, V2TError
from v2t.domain.jobs import AUTO, Choice, TranscribeRequest
from v2t.testing import FakeAudioTools
from v2t.worker.runtime import Asked

HISTORIES = Path(__file__).parent / "histories"
SHORT = FakeAudioTools(10.0)
LONG = FakeAudioTools(300.0, 60.0)  # five chunks in two windows
LAST_ROUND = FakeAudioTools(300.0, 60.0, last_round_at=180.0)
FEW_BYTES, MANY_BYTES = 1000, 100_000_000

Scenario = Callable[[str], Awaitable[tuple[FakeCluster, TranscribeRequest]]]


async def _run(
    address: str, transcriber: ScriptedTranscriber, tools: FakeAudioTools, size_bytes: int = MANY_BYTES
) -> tuple[FakeCluster, TranscribeRequest]:
    async with fake_cluster(address, transcriber, tools) as cluster:
        cluster.size_bytes = size_bytes
        request = await cluster.submit()
        try:
            await cluster.result(request)
        except V2TError as error:
            print(f"  ends with {error.code}")
        return cluster, request


async def short(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _run(address, ScriptedTranscriber(), SHORT)


async def long(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _run(address, ScriptedTranscriber(), LONG)


async def last_round(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _run(address, ScriptedTranscriber(), LAST_ROUND)


async def last_round_unaware(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    """As the workflows of before it waited: a newer worker has cut the file."""
    with patch("temporalio.workflow.patched", return_value=False):
        return await _run(address, ScriptedTranscriber(), LAST_ROUND)


async def retried_chunk(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    transcriber = ScriptedTranscriber(
        lambda chunk, attempt: EngineCrashed() if chunk.index == 1 and attempt == 1 else "en"
    )
    return await _run(address, transcriber, LONG)


async def language_vote(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    transcriber = ScriptedTranscriber(lambda chunk, _: "cy" if chunk.index == 2 else "en")
    return await _run(address, transcriber, LONG)


async def failed(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    transcriber = ScriptedTranscriber(lambda chunk, _: ModelCorrupted("bad file") if chunk.index == 3 else "en")
    return await _run(address, transcriber, LONG)


async def cancelled(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    transcriber = ScriptedTranscriber()
    transcriber.hold = asyncio.Event()
    async with fake_cluster(address, transcriber, LONG) as cluster:
        request = await cluster.submit()
        await until(lambda: transcriber.running == 4, "four chunks are being transcribed")
        await cluster.client.cancel(request.job_id)
        try:
            await cluster.result(request)
        except V2TError as error:
            print(f"  ends with {error.code}")
        return cluster, request


async def paused(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    transcriber = ScriptedTranscriber()
    transcriber.hold = asyncio.Event()
    async with fake_cluster(address, transcriber, LONG, slots=1) as cluster:
        request = await cluster.submit()
        await until(lambda: transcriber.running == 1, "a chunk is being transcribed")
        await cluster.client.pause(request.job_id)
        await cluster.client.set_priority(request.job_id, 1)
        transcriber.hold.set()
        await until(lambda: transcriber.running == 0, "it is finished")
        await cluster.client.resume(request.job_id)
        await cluster.result(request)
        return cluster, request


async def small(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _run(address, ScriptedTranscriber(), SHORT, size_bytes=FEW_BYTES)


async def small_but_long(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _run(address, ScriptedTranscriber(), LONG, size_bytes=FEW_BYTES)


async def small_and_failed(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _run(
        address, ScriptedTranscriber(lambda _chunk, _: ModelCorrupted("bad file")), SHORT, size_bytes=FEW_BYTES
    )


async def searchable_short(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _run(address, ScriptedTranscriber(), SHORT)


async def searchable_failed(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await failed(address)


async def stored(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    async with fake_cluster(address, ScriptedTranscriber(), SHORT) as cluster:
        cluster.size_bytes = MANY_BYTES
        request = await cluster.submit()
        await cluster.result(request)
        await cluster.client.submit(request, again=True)
        await cluster.result(request)
        return cluster, request


async def host_queue(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    async with fake_cluster(address, ScriptedTranscriber(), LONG, host="m4-1") as cluster:
        request = await cluster.submit()
        await cluster.result(request)
        return cluster, request


async def host_gone(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    cluster = FakeCluster(await Client.connect(address, NAMESPACE), ScriptedTranscriber())
    async with running_worker(cluster, LONG, host="m4-1", polls_host=False):
        request = await cluster.submit()
        await cluster.result(request)
        return cluster, request


async def _chain(
    address: str, tools: FakeAudioTools, size_bytes: int, last: V2TError | None = None
) -> tuple[FakeCluster, TranscribeRequest]:
    """One that refuses and one that needs graphics cards, which nobody has, before one that answers or fails."""

    async def choose(_request: TranscribeRequest, _seconds: float, _audio: Path | None) -> tuple[Choice, ...]:
        return Choice("refusing"), Choice("fast", workers="gpu"), Choice("last", "model of last")

    providers = {
        "refusing": ScriptedTranscriber(lambda _chunk, _: CredentialsRefused("the key is wrong"), "refusing"),
        "last": ScriptedTranscriber(lambda _chunk, _: last or "en", "last"),
    }
    client = await Client.connect(address, NAMESPACE)
    cluster = FakeCluster(client, ScriptedTranscriber(), others=providers, choose=choose)
    async with running_worker(cluster, tools):
        cluster.size_bytes = size_bytes
        request = await cluster.submit(provider=AUTO)
        try:
            async with asyncio.timeout(200):
                await cluster.client.result(request.job_id)
        except V2TError as error:
            print(f"  ends with {error.code}")
        return cluster, request


async def chain_small(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _chain(address, SHORT, FEW_BYTES)


async def chain_long(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _chain(address, LONG, MANY_BYTES)


async def chain_exhausted(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    return await _chain(address, SHORT, MANY_BYTES, ProviderRejected("too long"))


async def chain_queued(address: str) -> tuple[FakeCluster, TranscribeRequest]:
    """One whose queue nobody asks, before one whose queue is so slow that its chunks wait for longer than usual."""

    async def choose(_request: TranscribeRequest, _seconds: float, _audio: Path | None) -> tuple[Choice, ...]:
        return Choice("distant", own_queue=True), Choice("slow", own_queue=True), Choice("last")

    providers = {"slow": ScriptedTranscriber(name="slow")}
    client = await Client.connect(address, NAMESPACE)
    cluster = FakeCluster(client, ScriptedTranscriber(), others=providers, choose=choose)
    async with running_worker(cluster, FakeAudioTools(30.0, 10.0), asked=(Asked("slow", 1, 1 / 40),)):
        request = await cluster.submit("en", provider=AUTO)
        async with asyncio.timeout(400):
            await cluster.client.result(request.job_id)
        return cluster, request


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        *(short, long, last_round, last_round_unaware, retried_chunk, language_vote, failed, cancelled),
        *(small, small_but_long, small_and_failed),
        *(chain_small, chain_long, chain_exhausted, chain_queued),
        *(paused, searchable_short, searchable_failed, stored, host_queue, host_gone),
    )
}


async def record(address: str, name: str) -> None:
    cluster, request = await SCENARIOS[name](address)
    history = await cluster.client.temporal.get_workflow_handle(request.job_id).fetch_history()
    (HISTORIES / f"{name}.json").write_text(history.to_json() + "\n")
    print(f"{name}: {len(history.events)} events")


def main() -> None:
    names = sys.argv[1:] or list(SCENARIOS)
    with tempfile.TemporaryDirectory() as folder, temporal_server(Path(folder)) as address:
        for name in names:
            asyncio.run(record(address, name))


if __name__ == "__main__":
    main()
