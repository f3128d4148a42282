"""What the workflows do to a batch: find out what is done, follow what others started, write the report.

Every activity may run again after a crash: its objects are written under keys that follow from the batch.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from v2t.activities.steps import step
from v2t.activities.transcripts import find_transcript
from v2t.domain.batches import (
    BatchItem,
    BatchTotals,
    FileOutcome,
    FollowedJob,
    FollowRequest,
    GroupOutcomes,
    GroupRequest,
    LoadedGroup,
    ReportRequest,
    decode_group,
    decode_outcome,
    encode_outcomes,
    group_key,
    outcomes_key,
    report_key,
)
from v2t.domain.errors import ClusterUnreachable, JobCancelled, JobTerminated, ObjectMissing, V2TError
from v2t.domain.jobs import JobState
from v2t.domain.ports import JobRecords, ObjectStore, RunningJobs

STILL_RUNNING = "StillRunning"
"""The wire name by which `follow_job` asks to be called again later."""

_FIRST_LOOK_SECONDS = 0.5
_LAST_LOOK_SECONDS = 15.0
_LOOK_GROWTH = 1.5


class BatchActivities:
    """The activities of TranscribeBatch and TranscribeGroup.

    Args:
        store: where groups, outcomes and transcripts are.
        records: tells of finished jobs what their transcripts do not say at a glance.
        jobs: what others have started.
        scratch: folder for the report on its way into the store.
    """

    def __init__(self, store: ObjectStore, records: JobRecords, jobs: RunningJobs, scratch: Path) -> None:
        self._store = store
        self._records = records
        self._jobs = jobs
        self._scratch = scratch

    @property
    def steps(self) -> list[Callable[..., Any]]:
        """All of them, for a worker of the queue `v2t`."""
        return [self.load_group, self.linger, self.follow_job, self.store_outcomes, self.store_report]

    @activity.defn
    async def load_group(self, request: GroupRequest) -> LoadedGroup:
        """Read a group, and tell which of its files have a transcript already."""
        async with step():
            group = decode_group(
                await asyncio.to_thread(self._store.get_bytes, group_key(request.batch_id, request.index))
            )
            found = await asyncio.gather(*(asyncio.to_thread(self._find_finished, item) for item in group.items))
        return LoadedGroup(
            finished=tuple(outcome for outcome in found if outcome),
            items=tuple(item for item, outcome in zip(group.items, found, strict=True) if not outcome),
            options=group.options,
            tags=group.tags,
        )

    @activity.defn
    async def linger(self, seconds: float) -> None:
        """Do nothing for a moment."""
        await asyncio.sleep(seconds)

    @activity.defn
    async def follow_job(self, request: FollowRequest) -> FollowedJob:
        """Answer how a job ended; while it runs, fail with a wish to be called again.

        It waits in the server, not here: a step that waits for a job would take the place of the steps
        that the job consists of, and enough of them would stop it for ever.
        """
        async with step():
            state = await self._jobs.state(request.job_id)
            if state == JobState.RUNNING:
                raise ApplicationError(
                    f"{request.job_id} still runs",
                    type=STILL_RUNNING,
                    next_retry_delay=_next_look(activity.info().attempt),
                    category=ApplicationErrorCategory.BENIGN,
                )
            outcome = await self._ended_outcome(request, state)
            found = await asyncio.to_thread(find_transcript, self._store, request.job_id)
        lost = outcome.state == JobState.COMPLETED and not found
        return FollowedJob(outcome, again=lost or state is None or outcome.state == JobState.CANCELLED)

    @activity.defn
    async def store_outcomes(self, request: GroupOutcomes) -> BatchTotals:
        """Keep how the files of a group ended."""
        async with step():
            key = outcomes_key(request.batch_id, request.index)
            await asyncio.to_thread(self._store.put_bytes, key, encode_outcomes(request.outcomes))
        return request.totals

    @activity.defn
    async def store_report(self, request: ReportRequest) -> BatchTotals:
        """Write all outcomes of a batch one after the other into its report, and count them."""
        async with step():
            return await asyncio.to_thread(self._write_report, request)

    def _find_finished(self, item: BatchItem) -> FileOutcome | None:
        key = find_transcript(self._store, item.request.job_id) if item.request else ""
        if not item.request or not key:
            return None
        record = self._records.get(item.request.job_id)
        return FileOutcome(
            name=item.name,
            state=JobState.COMPLETED,
            job_id=item.request.job_id,
            audio_seconds=record.audio_seconds if record else 0.0,
            words=record.words if record else 0,
            transcript_key=key,
        )

    async def _ended_outcome(self, request: FollowRequest, state: JobState | None) -> FileOutcome:
        if state is None:
            return FileOutcome(request.name, JobState.CANCELLED, request.job_id)
        try:
            result = await self._jobs.result(request.job_id)
        except ClusterUnreachable:  # the question failed, not the job
            raise
        except V2TError as error:
            cut_off = isinstance(error, JobCancelled | JobTerminated)
            return FileOutcome(
                name=request.name,
                state=JobState.CANCELLED if cut_off else JobState.FAILED,
                job_id=request.job_id,
                error_code=error.code,
                error_message=error.message,
            )
        return FileOutcome(
            name=request.name,
            state=JobState.COMPLETED,
            job_id=request.job_id,
            audio_seconds=result.duration_seconds,
            words=result.words,
            transcript_key=result.transcript_key,
        )

    def _write_report(self, request: ReportRequest) -> BatchTotals:
        totals = BatchTotals()
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            report = Path(folder) / "report.jsonl"
            with report.open("wb") as file:
                for index in range(request.groups):
                    group = GroupOutcomes(request.batch_id, index, tuple(self._outcomes(request, index)))
                    file.write(encode_outcomes(group.outcomes))
                    totals = totals.plus(group.totals)
            self._store.put_file(report_key(request.batch_id), report, move=True)
        return totals

    def _outcomes(self, request: ReportRequest, index: int) -> Iterator[FileOutcome]:
        """A group's outcomes; where none were stored, every file is in the state that was asked for."""
        try:
            stored = self._store.get_bytes(outcomes_key(request.batch_id, index))
        except ObjectMissing:
            yield from self._missing_outcomes(request, index)
        else:
            yield from map(decode_outcome, stored.splitlines())

    def _missing_outcomes(self, request: ReportRequest, index: int) -> Iterator[FileOutcome]:
        error = JobCancelled() if request.missing_state == JobState.CANCELLED else ObjectMissing(_NOT_WORKED_ON)
        try:
            group = decode_group(self._store.get_bytes(group_key(request.batch_id, index)))
        except ObjectMissing:
            return  # nobody knows any more which files these were
        for item in group.items:
            yield FileOutcome(
                name=item.name,
                state=request.missing_state,
                job_id=item.request.job_id if item.request else "",
                error_code=error.code,
                error_message=error.message,
            )


_NOT_WORKED_ON = "The group of this file could not be worked on; run the batch again."


def _next_look(attempt: int) -> timedelta:
    """Short jobs are noticed soon, long ones asked about seldom."""
    growth = _LOOK_GROWTH ** min(attempt - 1, 20)
    return timedelta(seconds=min(_LAST_LOOK_SECONDS, _FIRST_LOOK_SECONDS * growth))
