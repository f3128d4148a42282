"""TranscribeBatch: a window over the groups of a batch slides along, and in the end a report is written."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from v2t.activities.batches import BatchActivities
    from v2t.domain.batches import (
        BatchProgress,
        BatchRequest,
        BatchResult,
        BatchTotals,
        GroupRequest,
        ReportRequest,
        group_id,
        report_key,
    )
    from v2t.domain.jobs import JobState
    from v2t.workflows.file_children import owner_attributes
    from v2t.workflows.policies import HEARTBEAT_TIMEOUT, LINGER_SECONDS, QUEUE, RETRY, STEP_TIMEOUT, priority_for
    from v2t.workflows.transcribe_group import TranscribeGroup

_GROUP_STARTS = 60
_START_AGAIN = timedelta(seconds=1)
"""A group of a terminated run may still be writing down how its files ended."""


@workflow.defn(name="TranscribeBatch")
class TranscribeBatch:
    """A batch. Its id is the batch id."""

    @workflow.init
    def __init__(self, request: BatchRequest) -> None:
        self._request = request
        self._totals = request.totals
        self._next_group = request.next_group
        self._priority = request.priority
        self._paused = request.paused
        self._running: dict[int, asyncio.Task[None]] = {}

    @workflow.run
    async def run(self, request: BatchRequest) -> BatchResult:
        """Work on all groups; the report is written also when the batch is cancelled."""
        try:
            await self._run_groups()
        except asyncio.CancelledError:
            await self._cancel_groups()
            await self._report(JobState.CANCELLED)
            raise
        if self._next_group < request.groups:
            workflow.continue_as_new(self._carried_over())
        totals = await self._report(JobState.FAILED)
        return BatchResult(request.batch_id, totals, report_key(request.batch_id))

    @workflow.query
    def progress(self) -> BatchProgress:
        """How far the batch is."""
        running = tuple(self._running)
        return BatchProgress(self._request.files, self._totals, len(running), self._paused, running)

    @workflow.query
    def request(self) -> BatchRequest:
        """What was asked, so that it can be asked again."""
        return replace(self._request, next_group=0, totals=BatchTotals(), started_at=0.0, paused=False)

    @workflow.signal
    def pause(self) -> None:
        """Begin no further group; those that run go on to their end."""
        self._paused = True

    @workflow.signal
    def resume(self) -> None:
        """Go on."""
        self._paused = False

    @workflow.signal
    def set_priority(self, priority: int) -> None:
        """Give the groups that have not begun another priority, from 1, the most urgent, to 5."""
        self._priority = priority

    async def _run_groups(self) -> None:
        while self._next_group < self._request.groups and not self._is_long_enough():
            await workflow.wait_condition(self._may_start)
            index = self._next_group
            self._running[index] = asyncio.create_task(self._run_group(index))
            self._next_group += 1
        await workflow.wait_condition(lambda: not self._running)

    def _may_start(self) -> bool:
        return not self._paused and len(self._running) < self._request.groups_in_flight

    def _is_long_enough(self) -> bool:
        started = self._next_group - self._request.next_group
        return started >= self._request.groups_a_run or workflow.info().is_continue_as_new_suggested()

    async def _run_group(self, index: int) -> None:
        request = GroupRequest(self._request.batch_id, index, self._request.user, self._priority, LINGER_SECONDS)
        try:
            self._totals = self._totals.plus(await self._execute_group(request))
        except ChildWorkflowError as error:  # the report says so of its files
            workflow.logger.warning("Group %d of %s failed: %s", index, self._request.batch_id, error.cause)
        finally:
            del self._running[index]

    async def _execute_group(self, request: GroupRequest) -> BatchTotals:
        for attempt in range(_GROUP_STARTS):
            try:
                return await workflow.execute_child_workflow(
                    TranscribeGroup.run,
                    request,
                    id=group_id(request.batch_id, request.index),
                    task_queue=QUEUE,
                    parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
                    priority=priority_for(request.user, request.priority),
                    search_attributes=owner_attributes(request.user, request.batch_id),
                )
            except WorkflowAlreadyStartedError:
                if attempt + 1 == _GROUP_STARTS:
                    raise
                await workflow.sleep(_START_AGAIN)
        raise AssertionError("the last attempt returns or raises")

    async def _cancel_groups(self) -> None:
        """Cancel what runs, and wait until it has written down how its files ended."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _report(self, missing_state: JobState) -> BatchTotals:
        totals = await workflow.execute_activity_method(
            BatchActivities.store_report,
            ReportRequest(self._request.batch_id, self._request.groups, missing_state),
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
        )
        self._totals = totals
        return totals

    def _carried_over(self) -> BatchRequest:
        return replace(
            self._request,
            next_group=self._next_group,
            totals=self._totals,
            priority=self._priority,
            paused=self._paused,
            started_at=self._request.started_at or workflow.info().start_time.timestamp(),
        )
