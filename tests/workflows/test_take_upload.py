from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.batches import BatchCluster, batch_cluster, batch_worker
from support.processes import until

from v2t.client.batches import take_upload
from v2t.domain.batches import BatchItem, UploadRef
from v2t.domain.errors import StorageError, StorageFull
from v2t.domain.jobs import JobState, TranscribeRequest, transcript_key
from v2t.domain.ports import JobFilter
from v2t.domain.uploads import AdoptedUpload, SweepRequest, adoption_key
from v2t.testing import MemoryObjectStore
from v2t.workflows.policies import QUEUE
from v2t.workflows.sweep_uploads import SweepUploads

KEY = "incoming/alice/talk.wav"


@pytest.fixture
async def cluster(server: str) -> AsyncIterator[BatchCluster]:
    async with batch_cluster(server) as opened:
        yield opened


class BreakingStore(MemoryObjectStore):
    """A store in which the named operation fails, once for each time it is named, after it was done."""

    def __init__(self, *failures: str) -> None:
        super().__init__()
        self.failures = list(failures)

    def _fail(self, operation: str) -> None:
        if operation in self.failures:
            self.failures.remove(operation)
            raise StorageError(f"{operation} was cut off")

    def copy(self, source: str, target: str, *, etag: str = "") -> None:
        super().copy(source, target, etag=etag)
        self._fail("copy")

    def put_bytes(self, key: str, data: bytes) -> None:
        super().put_bytes(key, data)
        if key.startswith("uploads/"):
            self._fail("note")

    def delete(self, key: str, *, etag: str = "") -> None:
        super().delete(key, etag=etag)
        if key.startswith("incoming/"):
            self._fail("delete")


class OverwritingStore(MemoryObjectStore):
    """A store in which somebody drops other content at the moment that the first one is being read."""

    def __init__(self) -> None:
        super().__init__()
        self.next_content: bytes | None = None

    def exists(self, key: str) -> bool:
        if self.next_content and key.startswith("audio/"):
            content, self.next_content = self.next_content, None
            self.put_bytes(KEY, content)
        return super().exists(key)


def unique(cluster: BatchCluster, name: str) -> str:
    """Content that no other test has: the upload's workflow is named by key and content."""
    return f"{name} {cluster.options.prompt}"


async def take(cluster: BatchCluster, upload: UploadRef, tags: tuple[str, ...] = ()) -> TranscribeRequest | None:
    """Notify of an upload and wait until it is taken in."""
    await take_upload(cluster.client, upload, cluster.options, tags=tags)
    async with asyncio.timeout(30):
        handle = cluster.client.temporal.get_workflow_handle(upload.upload_id, result_type=AdoptedUpload)
        adopted: AdoptedUpload = await handle.result()
    return adopted.request


async def finish(cluster: BatchCluster, request: TranscribeRequest) -> None:
    async with asyncio.timeout(30):
        await cluster.client.result(request.job_id)


async def sweep(cluster: BatchCluster) -> None:
    """As the schedule does."""
    handle = await cluster.client.temporal.start_workflow(
        SweepUploads.run,
        SweepRequest(cluster.options, tags=("swept",)),
        id=f"sweep-{cluster.options.prompt}",
        task_queue=QUEUE,
    )
    async with asyncio.timeout(30):
        await handle.result()


async def test_a_dropped_file_becomes_a_job_of_its_folders_user(cluster: BatchCluster) -> None:
    upload = cluster.drop(KEY, unique(cluster, "content"))
    request = await take(cluster, upload)
    assert request
    assert (request.user, request.audio.name, request.options) == ("alice", "talk.wav", cluster.options)
    await finish(cluster, request)
    assert not cluster.store.exists(KEY)
    assert cluster.store.get_bytes(request.audio.key) == unique(cluster, "content").encode()
    record = cluster.records.get(request.job_id)
    assert record
    assert (record.user, record.state) == ("alice", JobState.COMPLETED)


async def test_the_upload_is_let_go_of_as_soon_as_its_job_has_been_accepted(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    request = await take(cluster, cluster.drop(KEY, unique(cluster, "content")))
    assert request
    assert not cluster.store.exists(KEY)
    cluster.transcriber.hold.set()
    await finish(cluster, request)


async def test_a_notification_that_comes_twice_makes_one_job(cluster: BatchCluster) -> None:
    upload = cluster.drop(KEY, unique(cluster, "content"))
    await asyncio.gather(*(take_upload(cluster.client, upload, cluster.options) for _ in range(3)))
    request = await take(cluster, upload)
    assert request
    await finish(cluster, request)
    late = await take(cluster, upload)
    assert late == request
    assert len(cluster.transcriber.asked) == 1
    assert await cluster.runs(request.job_id) == 1


async def test_the_same_content_under_two_names_is_one_job(cluster: BatchCluster) -> None:
    uploads = [cluster.drop(f"incoming/{user}/x.wav", unique(cluster, "content")) for user in ("alice", "bob")]
    first, second = await asyncio.gather(*(take(cluster, upload) for upload in uploads))
    assert first
    assert second
    assert first.job_id == second.job_id
    await finish(cluster, first)
    assert len(cluster.transcriber.asked) == 1
    assert not cluster.store.list_keys("incoming/")


async def test_content_that_has_been_overwritten_before_it_was_read_is_left_to_its_own_notification(
    cluster: BatchCluster,
) -> None:
    old = cluster.drop(KEY, unique(cluster, "old"))
    new = cluster.drop(KEY, unique(cluster, "new"))
    assert await take(cluster, old) is None
    assert cluster.store.exists(KEY)
    request = await take(cluster, new)
    assert request
    await finish(cluster, request)
    assert len(cluster.transcriber.asked) == 1
    assert not cluster.store.exists(KEY)


async def test_content_that_was_overwritten_by_known_content_is_not_taken_for_it(cluster: BatchCluster) -> None:
    known, old = unique(cluster, "known"), unique(cluster, "old")
    assert await take(cluster, cluster.drop("incoming/alice/known.wav", known))
    first = cluster.drop(KEY, old)
    cluster.drop(KEY, known)
    assert await take(cluster, first) is None
    assert cluster.drop(KEY, old) == first
    request = await take(cluster, first)
    assert request
    assert cluster.store.get_bytes(request.audio.key) == old.encode()


async def test_content_that_is_overwritten_while_it_is_read_is_not_mixed_up(server: str) -> None:
    async with batch_cluster(server, store=OverwritingStore()) as cluster:
        assert isinstance(cluster.store, OverwritingStore)
        cluster.store.next_content = unique(cluster, "new").encode()
        assert await take(cluster, cluster.drop(KEY, unique(cluster, "old"))) is None
        assert cluster.store.get_bytes(KEY) == unique(cluster, "new").encode()
        assert not cluster.store.list_keys("audio/")


async def test_content_that_is_overwritten_after_it_was_read_is_not_deleted(cluster: BatchCluster) -> None:
    cluster.transcriber.hold = asyncio.Event()
    old = cluster.drop(KEY, unique(cluster, "old"))
    request = await take(cluster, old)
    new = cluster.drop(KEY, unique(cluster, "new"))
    assert await take(cluster, old) == request  # a late notification of the old content
    assert cluster.upload(KEY) == new
    cluster.transcriber.hold.set()
    assert await take(cluster, new)


async def test_an_upload_that_is_gone_ends_quietly(cluster: BatchCluster) -> None:
    upload = cluster.drop(KEY, unique(cluster, "content"))
    cluster.store.delete(KEY)
    assert await take(cluster, upload) is None
    assert not cluster.transcriber.asked


@pytest.mark.parametrize("broken", ["copy", "note", "delete"])
async def test_taking_in_goes_on_from_wherever_it_was_cut_off(server: str, broken: str) -> None:
    async with batch_cluster(server, store=BreakingStore(broken)) as cluster:
        request = await take(cluster, cluster.drop(KEY, unique(cluster, "content")))
        assert request
        await finish(cluster, request)
        assert len(cluster.transcriber.asked) == 1
        assert not cluster.store.exists(KEY)


async def test_an_upload_dropped_again_after_its_transcript_was_lost_runs_again(cluster: BatchCluster) -> None:
    upload = cluster.drop(KEY, unique(cluster, "content"))
    request = await take(cluster, upload)
    assert request
    await finish(cluster, request)
    cluster.store.delete(transcript_key(request.job_id))
    cluster.store.delete(request.audio.key)
    assert cluster.drop(KEY, unique(cluster, "content")) == upload
    assert await take(cluster, upload) == request
    await until(lambda: cluster.store.exists(transcript_key(request.job_id)), "it is transcribed again", 30)
    assert await cluster.runs(request.job_id) == 2


async def test_a_sweep_takes_in_what_lies_there_page_by_page(cluster: BatchCluster) -> None:
    keys = [f"incoming/alice/{number}.wav" for number in range(8)]
    for key in keys:
        cluster.drop(key, unique(cluster, key))
    cluster.store.put_bytes("incoming/alice/", b"")
    await sweep(cluster)
    await until(lambda: cluster.store.list_keys("incoming/") == ["incoming/alice/"], "all are taken in", 30)
    await until(lambda: len(cluster.transcriber.asked) == 8, "all become jobs", 30)
    await until(lambda: len(cluster.records.find(JobFilter())) == 8, "all are recorded", 30)
    assert {record.tags for record in cluster.records.find(JobFilter())} == {("swept",)}


async def test_a_sweep_and_a_notification_at_once_make_one_job(cluster: BatchCluster) -> None:
    upload = cluster.drop(KEY, unique(cluster, "content"))
    await asyncio.gather(sweep(cluster), take_upload(cluster.client, upload, cluster.options))
    request = await take(cluster, upload)
    assert request
    await finish(cluster, request)
    assert len(cluster.transcriber.asked) == 1


async def test_a_folder_with_a_long_name_is_a_user_too(cluster: BatchCluster) -> None:
    user = "ü" * 100
    request = await take(cluster, cluster.drop(f"incoming/{user}/talk.wav", unique(cluster, "content")))
    assert request
    assert request.user == user
    await finish(cluster, request)


async def test_an_upload_waits_for_a_worker(server: str) -> None:
    async with batch_cluster(server) as cluster:
        pass
    upload = cluster.drop(KEY, unique(cluster, "content"))
    await take_upload(cluster.client, upload, cluster.options)
    assert cluster.store.exists(KEY)
    async with batch_worker(cluster):
        request = await take(cluster, upload)
        assert request
        await finish(cluster, request)


async def test_uploads_are_files_of_a_batch_whether_or_not_their_notification_came_first(
    cluster: BatchCluster,
) -> None:
    uploads = [cluster.drop(f"incoming/alice/{number}.wav", unique(cluster, str(number))) for number in range(4)]
    early = await take(cluster, uploads[0], ("dropped",))
    assert early
    never = replace(uploads[0], key="incoming/alice/never.wav")
    items = [BatchItem(upload.name, upload.size_bytes, upload=upload) for upload in [*uploads, never]]
    result = await cluster.result(await cluster.submit(items, tags=("court",)))
    report = cluster.report(result.batch_id)
    assert (result.totals.completed, result.totals.failed) == (4, 1)
    assert (report["0.wav"].job_id, report["never.wav"].error_code) == (early.job_id, "ObjectMissing")
    assert len(cluster.transcriber.asked) == 4
    assert not cluster.store.list_keys("incoming/")
    tags = {record.name: record.tags for record in cluster.records.find(JobFilter())}
    assert tags == {"0.wav": ("dropped",)} | {f"{number}.wav": ("court",) for number in range(1, 4)}


async def test_a_store_that_is_full_fails_the_upload_and_a_sweep_tries_it_again(server: str) -> None:
    class Full(MemoryObjectStore):
        full = True

        def copy(self, source: str, target: str, *, etag: str = "") -> None:
            if self.full:
                raise StorageFull
            super().copy(source, target, etag=etag)

    async with batch_cluster(server, store=Full()) as cluster:
        upload = cluster.drop(KEY, unique(cluster, "content"))
        with pytest.raises(Exception, match="failed"):
            await take(cluster, upload)
        assert cluster.store.exists(KEY)
        assert not cluster.store.exists(adoption_key(upload))
        Full.full = False
        await sweep(cluster)
        await until(lambda: not cluster.store.exists(KEY), "it is taken in", 30)


def test_the_user_of_an_upload_is_its_folder() -> None:
    assert UploadRef("incoming/bob/a/b.wav", 1, "e").user == "bob"
    assert UploadRef("incoming/b.wav", 1, "e").user == "local"
    assert Path(UploadRef("incoming/bob/a/b.wav", 1, "e").name) == Path("b.wav")
