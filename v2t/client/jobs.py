"""Submit, await, describe, cancel jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import (
    Client as TemporalClient,
)
from temporalio.client import (
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from v2t.client.connection import TlsFiles, as_v2t_error, open_temporal, patiently
from v2t.client.holding import hold_queued_steps, release_held_steps
from v2t.client.namespace import prepare_namespace
from v2t.client.queues import QueueFacts, queue_facts
from v2t.domain.errors import ClusterUnreachable, UsageError
from v2t.domain.jobs import JobState, Progress, Stage, TranscribeRequest, TranscribeResult, with_size_class
from v2t.workflows.policies import PRIORITIES, QUEUE, priority_for
from v2t.workflows.search import start_attributes
from v2t.workflows.transcribe_file import TranscribeFile

Handle = WorkflowHandle[TranscribeFile, TranscribeResult]

_QUERY_TIMEOUT = timedelta(seconds=2)
"""A worker answers in milliseconds; where none runs, who watches must not wait for the SDK's own half minute."""

_STATES = {
    WorkflowExecutionStatus.RUNNING: JobState.RUNNING,
    WorkflowExecutionStatus.CONTINUED_AS_NEW: JobState.RUNNING,
    WorkflowExecutionStatus.COMPLETED: JobState.COMPLETED,
    WorkflowExecutionStatus.CANCELED: JobState.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as Temporal sees it now. Times are Unix seconds, 0 where not reached."""

    job_id: str
    state: JobState
    created_at: float
    finished_at: float
    progress: Progress | None = None
    running_seconds: float = 0.0  # of source audio, done in the chunks that are computing
    attempt: int = 1  # the highest attempt of a pending step
    last_failure: str = ""  # why the attempt before it failed


class Client:
    """A connection to a cluster's Temporal."""

    def __init__(self, temporal: TemporalClient) -> None:
        self.temporal = temporal

    @classmethod
    async def connect(
        cls, address: str, namespace: str, tls: TlsFiles | None = None, metrics_address: str = ""
    ) -> Client:
        """Connect to the server at `address` (host:port), by TLS where its files are given.

        With `metrics_address` (host:port) the SDK shows its own metrics to Prometheus there.

        Raises:
            ConfigurationError: a file of `tls` cannot be read, or certificate and key do not belong together.
            ClusterUnreachable: nobody answers there, or TLS is refused by one side.
        """
        return cls(await open_temporal(address, namespace, tls, metrics_address))

    async def ping(self) -> None:
        """Ask for the namespace, which a server that just started may still be making.

        Raises:
            ClusterUnreachable: it is not there yet.
        """
        try:
            await self.temporal.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=self.temporal.namespace)
            )
        except RPCError as error:
            raise ClusterUnreachable(f"The Temporal server is not ready: {error.message}") from error

    async def prepare_namespace(self, retention_days: int) -> None:
        """Make the namespace and its search attributes where they are missing.

        Args:
            retention_days: how long Temporal keeps ended workflows, in a namespace made now.

        Raises:
            ClusterUnreachable: the server does not answer, or does not allow it.
        """
        await prepare_namespace(self.temporal, retention_days)

    async def queue_facts(self) -> list[QueueFacts]:
        """Pollers and backlog of each task queue. Raises ClusterUnreachable."""
        return await queue_facts(self.temporal)

    async def submit(self, request: TranscribeRequest, *, again: bool = False, lost: bool = False) -> None:
        """Start a job, or join it when the same content and parameters run already.

        A job that failed or was cancelled starts anew and goes on from its finished chunks. A run that finds the
        job's transcript in the store ends with it at once: who wants the work redone deletes it before.

        Args:
            request: the file and parameters; they determine the job id.
            again: start even when the job has completed or is running, which ends that run.
            lost: start even when the job has completed, because its transcript is gone; join a run there is, so that
                all who miss the transcript at the same time wait for one run.
        """
        try:
            await self.temporal.start_workflow(
                TranscribeFile.run,
                with_size_class(request),
                id=request.job_id,
                task_queue=QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE
                if again or lost
                else WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING
                if again
                else WorkflowIDConflictPolicy.USE_EXISTING,
                priority=priority_for(request.user, request.priority),
                search_attributes=start_attributes(request),
            )
        except WorkflowAlreadyStartedError:
            return  # it has completed: its result is the answer
        except RPCError as error:
            raise as_v2t_error(error) from error

    async def result(self, job_id: str) -> TranscribeResult:
        """Wait for a job to end.

        Raises:
            JobNotFound: no such job.
            JobCancelled: it was cancelled.
            V2TError: the error that it ended with.
        """
        try:
            return await patiently(self._handle(job_id).result, job_id)
        except WorkflowFailureError as error:
            raise as_v2t_error(error) from error

    async def describe(self, job_id: str) -> JobView:
        """State and progress of a job. Raises JobNotFound."""
        description = await patiently(self._handle(job_id).describe, job_id)
        progress = None
        if description.status == WorkflowExecutionStatus.RUNNING:
            progress = await self._progress(job_id)
        return await _view(description, progress)

    async def cancel(self, job_id: str) -> None:
        """Ask a job to stop; its computing ends within 2 seconds. Raises JobNotFound."""
        try:
            await self._handle(job_id).cancel()
        except RPCError as error:
            raise as_v2t_error(error, job_id) from error

    async def pause(self, job_id: str) -> None:
        """Let a job begin no further step until it is resumed; those that run are finished. Raises JobNotFound."""
        try:
            await self._handle(job_id).signal(TranscribeFile.pause)
            await self._progress(job_id)  # answered after the signal: no step is queued from now on
            await hold_queued_steps(self.temporal, job_id)
        except RPCError as error:
            raise as_v2t_error(error, job_id) from error

    async def resume(self, job_id: str) -> None:
        """Let a paused job go on. Raises JobNotFound."""
        try:
            await self._handle(job_id).signal(TranscribeFile.resume)
            await release_held_steps(self.temporal, job_id)
        except RPCError as error:
            raise as_v2t_error(error, job_id) from error

    async def set_priority(self, job_id: str, priority: int) -> None:
        """Give the steps that a job begins from now on another priority, 1 to 5.

        Raises:
            UsageError: there is no such priority.
            JobNotFound: no such job runs.
        """
        if priority not in PRIORITIES:
            raise UsageError(f"{priority} is no priority; 1 is the most urgent, 5 the least.")
        try:
            await self._handle(job_id).signal(TranscribeFile.set_priority, priority)
        except RPCError as error:
            raise as_v2t_error(error, job_id) from error

    async def request(self, job_id: str) -> TranscribeRequest:
        """What a job was asked to do. Raises JobNotFound."""
        try:
            return await self._handle(job_id).query(TranscribeFile.request)
        except RPCError as error:
            raise as_v2t_error(error, job_id) from error

    async def list_jobs(self, *, limit: int = 50) -> list[JobView]:
        """The newest jobs that Temporal still knows."""
        try:
            found = self.temporal.list_workflows("WorkflowType = 'TranscribeFile'", limit=limit)
            return [
                JobView(
                    item.id,
                    _STATES.get(item.status, JobState.FAILED) if item.status else JobState.RUNNING,
                    item.start_time.timestamp(),
                    item.close_time.timestamp() if item.close_time else 0.0,
                )
                async for item in found
            ]
        except RPCError as error:
            raise as_v2t_error(error) from error

    async def watch(self, job_id: str, *, every_seconds: float = 1.0) -> AsyncIterator[JobView]:
        """Views of a running job until it has ended; the last one shows how."""
        while True:
            view = await self.describe(job_id)
            yield view
            if view.state != JobState.RUNNING:
                return
            await asyncio.sleep(every_seconds)

    def _handle(self, job_id: str) -> Handle:
        return self.temporal.get_workflow_handle_for(TranscribeFile.run, job_id)

    async def _progress(self, job_id: str) -> Progress | None:
        """None while no worker answers the query."""
        try:
            return await self._handle(job_id).query(TranscribeFile.progress, rpc_timeout=_QUERY_TIMEOUT)
        except (WorkflowQueryFailedError, RPCError):
            return None


async def _view(description: WorkflowExecutionDescription, progress: Progress | None) -> JobView:
    pending = description.raw_description.pending_activities
    started = [item for item in pending if item.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED]
    running_seconds = total_seconds = 0.0
    for item in started:
        if item.activity_type.name.startswith("transcribe") and item.heartbeat_details.payloads:
            done, *total = await description.data_converter.decode(item.heartbeat_details.payloads)
            running_seconds += float(done)
            total_seconds += float(total[0]) if total else 0.0  # workers of before tell no total
    if progress and not progress.duration_seconds:
        progress = replace(progress, duration_seconds=total_seconds)
    if progress and progress.stage is not Stage.PAUSED and pending and not started:
        progress = replace(progress, stage=Stage.QUEUED)
    return JobView(
        job_id=description.id,
        state=_STATES.get(description.status, JobState.FAILED) if description.status else JobState.RUNNING,
        created_at=description.start_time.timestamp(),
        finished_at=description.close_time.timestamp() if description.close_time else 0.0,
        progress=progress,
        running_seconds=running_seconds,
        attempt=max((item.attempt for item in pending), default=1),
        last_failure=next((item.last_failure.message for item in pending if item.last_failure.message), ""),
    )
