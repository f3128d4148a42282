"""Batches, uploads and retention with their objects in MinIO and their records in PostgreSQL."""

from __future__ import annotations

import asyncio
import gzip
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from support.batches import BatchCluster, batch_cluster
from support.buckets import new_store
from support.processes import until
from support.servers import Servers
from temporalio.testing import ActivityEnvironment

from v2t.activities.retention import RetentionActivities
from v2t.client.batches import take_upload
from v2t.client.running import TemporalJobs
from v2t.db.records import open_records
from v2t.domain.batches import BatchItem, BatchTotals
from v2t.domain.jobs import JobState, archive_key, transcript_key
from v2t.domain.records import JobRecord
from v2t.domain.retention import DAY_SECONDS, CutOff, RetentionPolicy
from v2t.domain.uploads import SweepRequest
from v2t.workflows.apply_retention import ApplyRetention
from v2t.workflows.policies import QUEUE
from v2t.workflows.sweep_uploads import SweepUploads

pytestmark = pytest.mark.servers


@pytest.fixture
async def cluster(server: str, servers: Servers, tmp_path: Path) -> AsyncIterator[BatchCluster]:
    store = new_store(servers, tmp_path / "scratch")
    with closing(open_records(_new_database(servers))) as records:
        async with batch_cluster(server, store=store, records=records) as opened:
            yield opened


async def test_a_batch_is_reported_and_costs_nothing_again(cluster: BatchCluster) -> None:
    items = cluster.items(30)
    result = await cluster.run(items)
    assert result.totals == BatchTotals(completed=30, audio_seconds=300.0)
    assert len(cluster.report(result.batch_id)) == 30
    assert await cluster.run(items) == result
    assert len(cluster.transcriber.asked) == 30
    assert cluster.report(result.batch_id)["talk000.wav"].audio_seconds == 10.0  # as the records tell


async def test_uploads_become_jobs_once_and_leave(cluster: BatchCluster) -> None:
    uploads = [cluster.drop(f"incoming/alice/{n} ü.wav", f"{n} {cluster.options.prompt}") for n in range(4)]
    await asyncio.gather(*(take_upload(cluster.client, uploads[0], cluster.options) for _ in range(2)))
    handle = await cluster.client.temporal.start_workflow(
        SweepUploads.run, SweepRequest(cluster.options), id=f"sweep-{cluster.options.prompt}", task_queue=QUEUE
    )
    await handle.result()
    await until(lambda: not cluster.store.list_keys("incoming/"), "all uploads are taken in", 30)
    await until(lambda: len(cluster.transcriber.asked) == 4, "all become jobs", 30)
    items = [BatchItem(upload.name, upload.size_bytes, upload=upload) for upload in uploads]
    result = await cluster.run(items)
    assert result.totals.completed == 4
    assert len(cluster.transcriber.asked) == 4


async def test_content_that_was_overwritten_is_left_to_its_own_notification(cluster: BatchCluster) -> None:
    key = "incoming/alice/talk.wav"
    old = cluster.drop(key, f"old {cluster.options.prompt}")
    new = cluster.drop(key, f"new {cluster.options.prompt}")
    assert old.etag != new.etag
    await take_upload(cluster.client, old, cluster.options)
    await cluster.client.temporal.get_workflow_handle(old.upload_id).result()
    assert cluster.upload(key) == new
    await take_upload(cluster.client, new, cluster.options)
    await cluster.client.temporal.get_workflow_handle(new.upload_id).result()
    assert not cluster.store.exists(key)


async def test_transcripts_are_archived_and_then_deleted(cluster: BatchCluster) -> None:
    long_ago = time.time() - 100 * DAY_SECONDS
    jobs = [await _old_job(cluster, number, long_ago - number) for number in range(7)]
    await _apply(cluster, RetentionPolicy(archive_days=60))
    for number, job_id in enumerate(jobs):
        record = cluster.records.get(job_id)
        assert record
        assert record.transcript_key == archive_key(job_id)
        assert gzip.decompress(cluster.store.get_bytes(record.transcript_key)) == str(number).encode()
        assert not cluster.store.exists(transcript_key(job_id))
    await _apply(cluster, RetentionPolicy(delete_days=90))
    assert not any(cluster.records.get(job_id) for job_id in jobs)
    assert not cluster.store.list_keys("archive/")


async def test_recordings_batches_and_notes_are_deleted(cluster: BatchCluster) -> None:
    result = await cluster.run(cluster.items(5))
    cluster.store.put_bytes("uploads/u-abc.json", b"{}")
    retention = RetentionActivities(cluster.store, cluster.records, TemporalJobs(cluster.client))
    environment = ActivityEnvironment()
    tomorrow = CutOff(time.time() + DAY_SECONDS)
    assert await environment.run(retention.delete_recordings, tomorrow) == 5
    assert not cluster.store.list_keys("audio/")
    assert cluster.store.list_keys(f"{result.batch_id}/")
    await retention._delete_notes(tomorrow.before)
    assert not cluster.store.list_keys(f"{result.batch_id}/")
    assert not cluster.store.list_keys("uploads/")


def _new_database(servers: Servers) -> str:
    """The URL of a database that nobody else uses: retention looks at all there is."""
    name = f"v2t_{uuid.uuid4().hex}"
    with psycopg.connect(servers.layout.administrator_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER v2t").format(sql.Identifier(name)))
    return servers.layout.database_url(name)


async def _old_job(cluster: BatchCluster, number: int, created_at: float) -> str:
    request = replace(cluster.request(f"{number}.wav", f"{number} {cluster.options.prompt}"), user="alice")
    cluster.store.put_bytes(transcript_key(request.job_id), str(number).encode())
    record = JobRecord(
        job_id=request.job_id,
        user="alice",
        name=request.audio.name,
        sha256=request.audio.sha256,
        size_bytes=1,
        state=JobState.COMPLETED,
        transcript_key=transcript_key(request.job_id),
        created_at=created_at,
        finished_at=created_at,
    )
    await asyncio.to_thread(cluster.records.save, record)
    return request.job_id


async def _apply(cluster: BatchCluster, policy: RetentionPolicy) -> None:
    async with asyncio.timeout(120):
        await cluster.client.temporal.execute_workflow(
            ApplyRetention.run, policy, id=f"retention-{cluster.options.prompt}", task_queue=QUEUE
        )
