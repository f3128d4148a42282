from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator

import pytest
from support.batches import BatchCluster, batch_cluster
from support.processes import until

from v2t.client.batches import cancel_batch, pause_batch
from v2t.domain.batches import BatchItem, group_key
from v2t.domain.errors import StorageError
from v2t.domain.jobs import JobState, TranscribeRequest, archive_key, transcript_key
from v2t.domain.records import JobRecord
from v2t.domain.retention import DAY_SECONDS, RetentionCounts, RetentionPolicy
from v2t.testing import MemoryJobRecords, MemoryObjectStore
from v2t.workflows.apply_retention import ApplyRetention
from v2t.workflows.policies import QUEUE

LONG_AGO = time.time() - 100 * DAY_SECONDS


class AgingStore(MemoryObjectStore):
    """A store whose objects can be made old, and in which named operations fail once after they were done."""

    def __init__(self, *failures: str) -> None:
        super().__init__()
        self.failures = list(failures)

    def make_old(self, prefix: str) -> None:
        for key in self.list_keys(prefix):
            self._objects[key] = (self._objects[key][0], LONG_AGO)

    def put_bytes(self, key: str, data: bytes) -> None:
        super().put_bytes(key, data)
        if key.startswith("archive/"):
            self._fail("archive")

    def delete(self, key: str, *, etag: str = "") -> None:
        super().delete(key, etag=etag)
        self._fail(f"delete {key.split('/', maxsplit=1)[0][:2]}")

    def _fail(self, operation: str) -> None:
        if operation in self.failures:
            self.failures.remove(operation)
            raise StorageError(f"{operation} was cut off")


@pytest.fixture
async def cluster(server: str) -> AsyncIterator[BatchCluster]:
    async with batch_cluster(server, store=AgingStore()) as opened:
        yield opened


def store_of(cluster: BatchCluster) -> AgingStore:
    assert isinstance(cluster.store, AgingStore)
    return cluster.store


async def apply(cluster: BatchCluster, policy: RetentionPolicy) -> RetentionCounts:
    async with asyncio.timeout(60):
        counts: RetentionCounts = await cluster.client.temporal.execute_workflow(
            ApplyRetention.run, policy, id=f"retention-{cluster.options.prompt}", task_queue=QUEUE
        )
    return counts


def finished(cluster: BatchCluster, name: str, created_at: float = LONG_AGO) -> TranscribeRequest:
    """A job that has completed, some time ago."""
    request = cluster.request(name, f"{name} {cluster.options.prompt}")
    cluster.store.put_bytes(transcript_key(request.job_id), name.encode())
    cluster.records.save(
        JobRecord(
            job_id=request.job_id,
            user="alice",
            name=name,
            sha256=request.audio.sha256,
            size_bytes=1,
            state=JobState.COMPLETED,
            transcript_key=transcript_key(request.job_id),
            created_at=created_at,
            finished_at=created_at,
        )
    )
    return request


def assert_archived(cluster: BatchCluster, request: TranscribeRequest, name: str) -> None:
    record = cluster.records.get(request.job_id)
    assert record
    assert record.transcript_key == archive_key(request.job_id)
    assert gzip.decompress(cluster.store.get_bytes(record.transcript_key)) == name.encode()
    assert not cluster.store.exists(transcript_key(request.job_id))


async def test_without_a_policy_everything_is_kept(cluster: BatchCluster) -> None:
    request = finished(cluster, "old.wav")
    store_of(cluster).make_old("")
    assert await apply(cluster, RetentionPolicy()) == RetentionCounts()
    assert cluster.store.exists(request.audio.key)
    assert cluster.store.exists(transcript_key(request.job_id))


async def test_old_recordings_are_deleted_and_young_ones_kept(cluster: BatchCluster) -> None:
    old = finished(cluster, "old.wav")
    store_of(cluster).make_old("audio/")
    young = finished(cluster, "young.wav", time.time())
    counts = await apply(cluster, RetentionPolicy(audio_days=30))
    assert counts == RetentionCounts(recordings_deleted=1)
    assert not cluster.store.exists(old.audio.key)
    assert cluster.store.exists(young.audio.key)
    assert cluster.store.exists(transcript_key(old.job_id))


async def test_a_recording_that_a_running_job_needs_is_kept(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    request = cluster.request("running.wav", f"running {cluster.options.prompt}")
    await cluster.client.submit(request)
    await until(lambda: cluster.transcriber.asked, "it runs", 30)
    store_of(cluster).make_old("audio/")
    assert (await apply(cluster, RetentionPolicy(audio_days=30))).recordings_deleted == 0
    assert cluster.store.exists(request.audio.key)
    cluster.transcriber.hold.set()
    await cluster.client.result(request.job_id)


async def test_a_recording_that_a_running_batch_has_not_come_to_is_kept(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    items = [
        BatchItem(f"{n}.wav", 10**9, cluster.request(f"{n}.wav", f"{n} {cluster.options.prompt}")) for n in "abcdef"
    ]
    batch = await cluster.submit(items, groups_in_flight=1)
    await until(lambda: len(cluster.transcriber.asked) == 5, "the first group runs", 30)
    await pause_batch(cluster.client, batch)
    store_of(cluster).make_old("")
    assert await apply(cluster, RetentionPolicy(audio_days=30, delete_days=60)) == RetentionCounts()
    assert cluster.store.exists(group_key(batch, 1))
    await cancel_batch(cluster.client, batch)


async def test_old_transcripts_are_archived_page_by_page(cluster: BatchCluster) -> None:
    # more than three pages, one of them of jobs that began at the same instant
    old = {f"old{number}.wav": finished(cluster, f"old{number}.wav", LONG_AGO + number // 7) for number in range(11)}
    young = finished(cluster, "young.wav", time.time())
    counts = await apply(cluster, RetentionPolicy(archive_days=30))
    assert counts == RetentionCounts(transcripts_archived=11)
    for name, request in old.items():
        assert_archived(cluster, request, name)
    assert cluster.store.exists(transcript_key(young.job_id))
    assert await apply(cluster, RetentionPolicy(archive_days=30)) == RetentionCounts()


@pytest.mark.parametrize("broken", ["archive", "delete t-"])
async def test_archiving_goes_on_from_wherever_it_was_cut_off(server: str, broken: str) -> None:
    async with batch_cluster(server, store=AgingStore(broken)) as cluster:
        requests = [finished(cluster, f"{number}.wav") for number in range(3)]
        await apply(cluster, RetentionPolicy(archive_days=30))
        for number, request in enumerate(requests):
            assert_archived(cluster, request, f"{number}.wav")


async def test_archiving_goes_on_when_the_records_failed(cluster: BatchCluster) -> None:
    class BreakingRecords(MemoryJobRecords):
        broken = True

        def save(self, record: JobRecord) -> None:
            if self.broken and record.transcript_key.startswith("archive/"):
                self.broken = False
                raise StorageError("cut off")
            super().save(record)

    cluster.records.__class__ = BreakingRecords
    request = finished(cluster, "old.wav")
    await apply(cluster, RetentionPolicy(archive_days=30))
    assert_archived(cluster, request, "old.wav")


async def test_a_transcript_that_is_gone_does_not_stop_the_others(cluster: BatchCluster) -> None:
    lost, kept = finished(cluster, "lost.wav"), finished(cluster, "kept.wav", LONG_AGO - 1)
    cluster.store.delete(transcript_key(lost.job_id))
    assert (await apply(cluster, RetentionPolicy(archive_days=30))).transcripts_archived == 1
    assert_archived(cluster, kept, "kept.wav")


async def test_the_oldest_jobs_are_deleted_with_everything(cluster: BatchCluster) -> None:
    plain = [finished(cluster, f"{number}.wav") for number in range(7)]
    archived = finished(cluster, "archived.wav")
    cluster.store.put_bytes("b-old/report.jsonl", b"")
    cluster.store.put_bytes("uploads/u-old.json", b"{}")
    young = finished(cluster, "young.wav", time.time())
    await apply(cluster, RetentionPolicy(archive_days=30))
    store_of(cluster).make_old("")
    counts = await apply(cluster, RetentionPolicy(archive_days=30, delete_days=60))
    assert counts == RetentionCounts(jobs_deleted=8)
    for request in [*plain, archived]:
        assert cluster.records.get(request.job_id) is None
        assert not cluster.store.list_keys(f"{request.job_id}/")
        assert not cluster.store.exists(archive_key(request.job_id))
    assert not cluster.store.list_keys("b-")
    assert not cluster.store.list_keys("uploads/")
    assert cluster.store.exists(transcript_key(young.job_id))


async def test_an_old_job_that_runs_again_is_not_deleted(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    jobs = [finished(cluster, f"{number}.wav", LONG_AGO + number) for number in range(8)]
    running = jobs[:4]  # more than a page of them
    for request in running:
        await cluster.client.submit(request)
    await until(lambda: len(cluster.transcriber.asked) == 4, "they run", 30)
    counts = await apply(cluster, RetentionPolicy(delete_days=60))
    assert counts.jobs_deleted == 4
    assert all(cluster.store.list_keys(f"{request.job_id}/") for request in running)
    cluster.transcriber.hold.set()
    await asyncio.gather(*(cluster.client.result(request.job_id) for request in running))


async def test_deleting_goes_on_from_wherever_it_was_cut_off(server: str) -> None:
    async with batch_cluster(server, store=AgingStore("delete t-", "delete ar")) as cluster:
        requests = [finished(cluster, f"{number}.wav") for number in range(3)]
        await apply(cluster, RetentionPolicy(delete_days=60))
        assert not any(cluster.records.get(request.job_id) for request in requests)
        assert not cluster.store.list_keys("t-")


async def test_room_is_made_in_the_records(cluster: BatchCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(cluster.records, "make_room", asked.append)
    await apply(cluster, RetentionPolicy())
    assert asked
