"""What becomes of old work: recordings are deleted, transcripts archived, then deleted with their records.

Each step works through pages, oldest or newest first, and may be killed anywhere: what was done is found done.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from temporalio import activity

from v2t.activities.steps import step
from v2t.domain.batches import decode_group
from v2t.domain.errors import ObjectMissing, StorageDamaged
from v2t.domain.jobs import JobState, archive_key
from v2t.domain.ports import JobFilter, JobRecords, ObjectStore, RunningJobs
from v2t.domain.records import JobRecord
from v2t.domain.retention import CutOff

PAGE_RECORDS = 100
_ARCHIVE = "archive/"
_AUDIO = "audio/"
_BATCHES = "b-"
_ADOPTIONS = "uploads/"


class RetentionActivities:
    """The activities of ApplyRetention.

    Args:
        store: where recordings and transcripts are.
        records: the history of jobs.
        jobs: tells what is still needed.
        page_records: how many records are read at once.
    """

    def __init__(
        self, store: ObjectStore, records: JobRecords, jobs: RunningJobs, page_records: int = PAGE_RECORDS
    ) -> None:
        self._store = store
        self._records = records
        self._jobs = jobs
        self._page_records = page_records

    @property
    def steps(self) -> list[Callable[..., Any]]:
        """All of them, for a worker of the queue `v2t`."""
        return [self.delete_recordings, self.archive_transcripts, self.delete_jobs, self.prepare_records]

    @activity.defn
    async def prepare_records(self) -> None:
        """Make room in the records for the months to come, where the database has to be told."""
        async with step():
            await asyncio.to_thread(self._records.make_room, time.time())

    @activity.defn
    async def delete_recordings(self, cut_off: CutOff) -> int:
        """Delete the recordings stored before a time that no running job or batch needs; says how many."""
        async with step():
            old = await asyncio.to_thread(self._old_keys, _AUDIO, cut_off.before)
            if not old:
                return 0
            needed = await self._needed_recordings()
            unneeded = [key for key in old if key not in needed]
            await asyncio.to_thread(self._delete_all, unneeded)
        return len(unneeded)

    @activity.defn
    async def archive_transcripts(self, cut_off: CutOff) -> int:
        """Move the transcripts of jobs created before a time to the archive, compressed; says how many."""
        async with step():
            return await asyncio.to_thread(self._archive_all, cut_off.before)

    @activity.defn
    async def delete_jobs(self, cut_off: CutOff) -> int:
        """Delete transcripts, archived ones too, and records of jobs created before a time; says how many."""
        async with step():
            deleted: set[str] = set()
            stay = 0
            while True:
                limit = self._page_records + stay
                page = await asyncio.to_thread(self._records.older_than, cut_off.before, limit)
                jobs = [job.job_id for job in page if job.job_id not in deleted]
                old = [job_id for job_id in jobs if await self._jobs.state(job_id) != JobState.RUNNING]
                await asyncio.to_thread(self._delete_jobs, old)
                deleted.update(old)
                stay = len(page) - len(old)  # running, or still known to a replica: in front of the next page
                if len(page) < limit:
                    break
            await self._delete_notes(cut_off.before)
        return len(deleted)

    def _archive_all(self, before: float) -> int:
        return sum(self._archive(record) for record in self._completed_records(before))

    def _completed_records(self, before: float) -> Iterator[JobRecord]:
        """Newest first; a page begins with the instant that the one before ended in: several jobs may share it."""
        until, seen = before, set[str]()
        while True:
            limit = self._page_records + len(seen)
            page = self._records.find(JobFilter(state=JobState.COMPLETED, until=until, limit=limit))
            yield from (record for record in page if record.job_id not in seen)
            if len(page) < limit:
                return
            last = page[-1].created_at
            until = math.nextafter(last, math.inf)
            seen = {record.job_id for record in page if record.created_at == last}

    def _archive(self, record: JobRecord) -> bool:
        if not record.transcript_key or record.transcript_key.startswith(_ARCHIVE):
            return False
        archived = archive_key(record.job_id)
        try:
            transcript = self._store.get_bytes(record.transcript_key)
        except ObjectMissing:
            if not self._store.exists(archived):
                return False  # lost, and not by us: the job can be run again while its recording is there
        else:
            self._store.put_bytes(archived, gzip.compress(transcript, mtime=0))
            if gzip.decompress(self._store.get_bytes(archived)) != transcript:
                raise StorageDamaged(f"{archived} does not hold what was written; check the object store")
            self._store.delete(record.transcript_key)
        # Only now: killed before this, the next try finds the archive and comes here again.
        self._records.save(replace(record, transcript_key=archived))
        return True

    def _delete_jobs(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            self._store.delete_prefix(f"{job_id}/")
            self._store.delete(archive_key(job_id))
        self._records.delete(job_ids)  # last: a job without a record would never be found again

    async def _delete_notes(self, before: float) -> None:
        """Batches' groups and reports, and notes of adopted uploads."""
        running = {batch_id async for batch_id in self._jobs.batch_ids()}
        batches = await asyncio.to_thread(self._old_keys, _BATCHES, before)
        notes = await asyncio.to_thread(self._old_keys, _ADOPTIONS, before)
        await asyncio.to_thread(self._delete_all, [key for key in batches if key.split("/")[0] not in running] + notes)

    async def _needed_recordings(self) -> set[str]:
        """Keys of the recordings of running jobs, and of jobs that running batches have not come to yet."""
        needed = {request.audio.key async for request in self._jobs.requests()}
        async for batch_id in self._jobs.batch_ids():
            needed |= await asyncio.to_thread(self._recordings_of_batch, batch_id)
        return needed

    def _recordings_of_batch(self, batch_id: str) -> set[str]:
        groups = (decode_group(self._store.get_bytes(key)) for key in self._store.list_keys(f"{batch_id}/groups/"))
        return {item.request.audio.key for group in groups for item in group.items if item.request}

    def _old_keys(self, prefix: str, before: float) -> list[str]:
        return [facts.key for facts in self._store.list_objects(prefix) if facts.modified_at < before]

    def _delete_all(self, keys: list[str]) -> None:
        for key in keys:
            self._store.delete(key)
