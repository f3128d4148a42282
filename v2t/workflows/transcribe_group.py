"""TranscribeGroup: some files of a batch, side by side; none of them can sink the others."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    TerminatedError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from v2t.activities.batches import BatchActivities
    from v2t.activities.uploads import UploadActivities
    from v2t.domain.batches import (
        BatchItem,
        BatchTotals,
        FileOutcome,
        FollowedJob,
        FollowRequest,
        GroupOutcomes,
        GroupRequest,
        LoadedGroup,
        UploadRef,
    )
    from v2t.domain.jobs import JobState, TranscribeRequest, TranscribeResult
    from v2t.domain.uploads import UploadRequest
    from v2t.workflows.file_children import start_file
    from v2t.workflows.policies import HEARTBEAT_TIMEOUT, QUEUE, RETRY, STEP_TIMEOUT

Answer = TypeVar("Answer")

_STARTS = 3
"""How often a file is started anew when whoever had started it before cancels it."""

_FOLLOW_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=15),
    non_retryable_error_types=RETRY.non_retryable_error_types,
)
"""Without a limit: a retry of `follow_job` only means that the job still runs."""


@workflow.defn(name="TranscribeGroup")
class TranscribeGroup:
    """A group. Its id is `<batch id>/g<index>`."""

    @workflow.init
    def __init__(self, request: GroupRequest) -> None:
        self._request = request
        self._jobs: dict[str, asyncio.Task[FileOutcome]] = {}
        self._outcomes: list[FileOutcome] = []
        self._under_way = 0
        self._news = False

    @workflow.run
    async def run(self, request: GroupRequest) -> BatchTotals:
        """Transcribe what is not done yet and keep how each file ended, also when cancelled in between."""
        group = await self._load()
        self._outcomes = list(group.finished)
        lingering = asyncio.create_task(self._linger()) if request.linger_seconds else None
        try:
            await asyncio.gather(*(self._finish(item, group) for item in group.items))
        except asyncio.CancelledError:
            workflow.logger.info("%s/%d is cancelled", request.batch_id, request.index)
        finally:
            if lingering:
                lingering.cancel()
        return await workflow.execute_activity_method(
            BatchActivities.store_outcomes,
            self._ended(),
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
        )

    @workflow.query
    def progress(self) -> BatchTotals:
        """How the files that have ended did."""
        return self._ended().totals

    def _ended(self) -> GroupOutcomes:
        outcomes = sorted(self._outcomes, key=lambda outcome: outcome.name)
        return GroupOutcomes(self._request.batch_id, self._request.index, tuple(outcomes))

    async def _load(self) -> LoadedGroup:
        return await workflow.execute_activity_method(
            BatchActivities.load_group,
            self._request,
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
        )

    async def _linger(self) -> None:
        """Whenever something has happened, leave the workflow task open for a moment: what happens meanwhile joins it.

        Each start and each end of a file would take a workflow task of its own otherwise, as many as the file itself.
        """
        with suppress(ActivityError):  # of a worker that ends: the group does well without
            while True:
                await workflow.wait_condition(lambda: self._news and self._under_way > 0)
                self._news = False
                await workflow.execute_local_activity_method(
                    BatchActivities.linger,
                    self._request.linger_seconds * self._under_way,
                    start_to_close_timeout=STEP_TIMEOUT,
                )

    async def _finish(self, item: BatchItem, group: LoadedGroup) -> None:
        self._under_way += 1
        try:
            self._outcomes.append(await self._outcome_of(item, group))
        finally:
            self._under_way -= 1
            self._news = True

    async def _outcome_of(self, item: BatchItem, group: LoadedGroup) -> FileOutcome:
        """How a file ended, whatever happened to it."""
        request = item.request
        try:
            request = await self._request_of(item, group)
            if request is None:
                return _failed(item.name, "ObjectMissing", f"{item.name} is gone, or was overwritten meanwhile")
            if request.job_id in self._jobs:  # the same content twice: one job
                outcome = await asyncio.shield(self._jobs[request.job_id])
                return replace(outcome, name=item.name)
            task = asyncio.create_task(self._run_file(request, item))
            self._jobs[request.job_id] = task
            return await task
        except (FailureError, asyncio.CancelledError) as error:
            return replace(_outcome_of_failure(item.name, error), job_id=request.job_id if request else "")

    async def _request_of(self, item: BatchItem, group: LoadedGroup) -> TranscribeRequest | None:
        if item.request:
            return replace(item.request, priority=self._request.priority, batch_id=self._request.batch_id)
        assert item.upload, "an item of a batch is a request or an upload"
        adopted = await workflow.execute_activity_method(
            UploadActivities.adopt_upload,
            UploadRequest(item.upload, group.options, self._request.priority, self._request.batch_id, group.tags),
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
        )
        return adopted.request

    async def _run_file(self, request: TranscribeRequest, item: BatchItem) -> FileOutcome:
        """Start a job and wait for it; follow it where somebody else has started it."""
        followed = FollowedJob(FileOutcome(item.name, JobState.CANCELLED, request.job_id))
        for _ in range(_STARTS):
            try:
                job = await start_file(
                    request,
                    again=followed.again,
                    on_parent_close=workflow.ParentClosePolicy.REQUEST_CANCEL,
                )
            except WorkflowAlreadyStartedError:
                await self._release(item.upload)
                followed = await self._follow(FollowRequest(request.job_id, item.name))
                if not followed.again:
                    break
            else:
                self._news = True
                await self._release(item.upload)
                return _outcome(item.name, await job)
        return followed.outcome

    async def _follow(self, request: FollowRequest) -> FollowedJob:
        return await workflow.execute_activity_method(
            BatchActivities.follow_job,
            request,
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=_FOLLOW_RETRY,
        )

    async def _release(self, upload: UploadRef | None) -> None:
        """The content has become a job: the upload need not be kept."""
        if upload:
            await workflow.execute_activity_method(
                UploadActivities.release_upload,
                upload,
                task_queue=QUEUE,
                start_to_close_timeout=STEP_TIMEOUT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RETRY,
            )


def _outcome(name: str, result: TranscribeResult) -> FileOutcome:
    return FileOutcome(
        name=name,
        state=JobState.COMPLETED,
        job_id=result.job_id,
        audio_seconds=result.duration_seconds,
        words=result.words,
        transcript_key=result.transcript_key,
    )


def _outcome_of_failure(name: str, error: BaseException) -> FileOutcome:
    if is_cancelled_exception(error):
        return FileOutcome(name, JobState.CANCELLED, error_code="JobCancelled")
    cause: BaseException | None = error
    while isinstance(cause, ChildWorkflowError | ActivityError) and cause.cause:
        cause = cause.cause
    if isinstance(cause, TerminatedError):
        return _failed(name, "JobTerminated", "The job was terminated.")
    code = cause.type if isinstance(cause, ApplicationError) and cause.type else "JobFailed"
    return _failed(name, code, cause.message if isinstance(cause, FailureError) else str(cause))


def _failed(name: str, code: str, message: str) -> FileOutcome:
    return FileOutcome(name, JobState.FAILED, error_code=code, error_message=message)
