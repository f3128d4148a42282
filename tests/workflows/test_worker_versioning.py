from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from support.cluster import NAMESPACE, FakeCluster, ScriptedTranscriber, temporal_server
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from v2t.activities.transcription import TranscriptionActivities
from v2t.client import Client
from v2t.domain.errors import ConfigurationError
from v2t.domain.jobs import Chunk, Cut, CutRequest, Piece, TranscribeRequest
from v2t.domain.ports import OnProgress
from v2t.process.ports import LOOPBACK
from v2t.worker import versions
from v2t.worker.runtime import Role, running_workers
from v2t.worker.versions import current_version, make_current, make_first_current


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[str]:
    """The current version is a fact of the whole server: other tests must not see it."""
    with temporal_server(tmp_path) as address:
        yield address


class TwoChunks:
    """AudioTools that find two chunks in everything."""

    async def cut(self, source: Path, request: CutRequest, folder: Path, on_progress: OnProgress) -> Cut:
        chunks = []
        for index in range(2):
            (folder / f"{index}.wav").write_bytes(b"RIFF")
            pieces = (Piece(index * 10.0, 9.0),)
            chunks.append(Chunk(index, f"{request.job_id}/chunks/{index}.wav", pieces))
        return Cut(tuple(chunks), (), 20.0, finished=True, duration_seconds=20.0)


async def open_cluster(address: str) -> FakeCluster:
    return FakeCluster(await Client.connect(address, NAMESPACE), ScriptedTranscriber())


async def another_connection(cluster: FakeCluster) -> Client:
    """Workers of one queue cannot share one; in life they are processes of their own."""
    config = cluster.client.temporal.service_client.config
    return await Client.connect(config.target_host, NAMESPACE)


@asynccontextmanager
async def worker_of_build(cluster: FakeCluster, build: str) -> AsyncIterator[None]:
    """A worker on a "machine" named as its build."""
    with tempfile.TemporaryDirectory() as scratch:
        activities = TranscriptionActivities(
            cluster.store, cluster.records, TwoChunks(), lambda _name: cluster.transcriber, Path(scratch)
        )
        role = Role(host=build, build_id=build, versioned=True)
        async with running_workers(await another_connection(cluster), activities, 2, role=role):
            yield


class Relay:
    """A way to a server whose connections can be broken, as a restart of the server breaks them."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self.address = ""

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._join, LOOPBACK, 0)
        self.address = f"{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        self.break_connections()

    def break_connections(self) -> None:
        """Break those there are; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.partition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self._writers += [writer, far_writer]
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
    target.close()


async def workflow_task_events(cluster: FakeCluster, request: TranscribeRequest) -> list[HistoryEvent]:
    history = await cluster.client.temporal.get_workflow_handle(request.job_id).fetch_history()
    return [e for e in history.events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]


async def until_running(cluster: FakeCluster, chunks: int) -> None:
    async with asyncio.timeout(30):
        while cluster.transcriber.running < chunks:  # noqa: ASYNC110 - the double has no event for it
            await asyncio.sleep(0.02)


async def test_a_job_in_flight_goes_on_with_the_new_build_and_never_back(own_server: str) -> None:
    cluster = await open_cluster(own_server)
    cluster.transcriber.hold = asyncio.Event()
    async with worker_of_build(cluster, "build-1"):
        await make_first_current(cluster.client, "build-1")
        request = await cluster.submit()
        await until_running(cluster, 2)
        async with worker_of_build(cluster, "build-2"):
            await make_current(cluster.client, "build-2")
            before = len(await workflow_task_events(cluster, request))
            cluster.transcriber.hold.set()
            result = await cluster.result(request)
            tasks = await workflow_task_events(cluster, request)
    assert result.words == 2
    done_by = [e.workflow_task_completed_event_attributes.identity.partition(":")[0] for e in tasks]
    assert set(done_by[:before]) == {"build-1"}
    assert set(done_by[before:]) == {"build-2"}
    assert len(done_by) > before


async def test_a_new_job_starts_on_the_current_build_while_old_workers_still_poll(own_server: str) -> None:
    cluster = await open_cluster(own_server)
    async with worker_of_build(cluster, "build-1"), worker_of_build(cluster, "build-2"):
        await make_current(cluster.client, "build-1")
        await make_current(cluster.client, "build-2")
        requests = [await cluster.submit() for _ in range(3)]
        for request in requests:
            await cluster.result(request)
        done_by = {
            event.workflow_task_completed_event_attributes.identity.partition(":")[0]
            for request in requests
            for event in await workflow_task_events(cluster, request)
        }
    assert done_by == {"build-2"}


async def test_the_first_worker_of_a_cluster_makes_its_build_current_and_later_ones_do_not(own_server: str) -> None:
    cluster = await open_cluster(own_server)
    assert await current_version(cluster.client) == ""
    async with worker_of_build(cluster, "build-1"), worker_of_build(cluster, "build-2"):
        await make_first_current(cluster.client, "build-1")
        await make_first_current(cluster.client, "build-2")
        assert await current_version(cluster.client) == "build-1"
        await make_current(cluster.client, "build-1")  # twice is once
        assert await current_version(cluster.client) == "build-1"


async def test_a_broken_connection_keeps_no_build_from_becoming_current(own_server: str) -> None:
    cluster = await open_cluster(own_server)
    async with worker_of_build(cluster, "build-1"), Relay(own_server) as relay:
        client = await Client.connect(relay.address, NAMESPACE)
        relay.break_connections()
        await make_first_current(client, "build-1")
        relay.break_connections()
        await make_current(client, "build-1")
    assert await current_version(cluster.client) == "build-1"


async def test_a_build_without_workers_does_not_become_current(
    own_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_PATIENCE_SECONDS", 1.0)
    cluster = await open_cluster(own_server)
    with pytest.raises(ConfigurationError, match="no worker with build id build-9 polls"):
        await make_current(cluster.client, "build-9")
