"""Submit, await, describe, cancel jobs; nothing above this module knows Temporal."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

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
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError, RPCStatusCode

from v2t.domain.errors import (
    ClusterUnreachable,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobTerminated,
    StorageFull,
    V2TError,
    from_wire,
)
from v2t.domain.jobs import JobState, Progress, Stage, TranscribeRequest, TranscribeResult
from v2t.workflows.policies import QUEUE
from v2t.workflows.transcribe_file import TranscribeFile

Answer = TypeVar("Answer")
Handle = WorkflowHandle[TranscribeFile, TranscribeResult]

_QUERY_TIMEOUT = timedelta(seconds=2)
"""A worker answers in milliseconds; where none runs, who watches must not wait for the SDK's own half minute."""

_PATIENCE_SECONDS = 10.0
_RETRY_SECONDS = 0.3
"""A crashed server is back within a second; whoever follows a job gives it some more."""

_DATABASE_FULL = "database or disk is full"  # SQLite's words for SQLITE_FULL, which the server passes on

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
    async def connect(cls, address: str, namespace: str) -> Client:
        """Connect to the server at `address` (host:port).

        Raises:
            ClusterUnreachable: nobody answers there.
        """
        try:
            return cls(await TemporalClient.connect(address, namespace=namespace, runtime=_runtime()))
        except RuntimeError as error:
            raise ClusterUnreachable(
                f"Temporal does not answer at {address}; is the cluster up? (`v2t up` starts the embedded one)"
            ) from error

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

    async def submit(self, request: TranscribeRequest, *, again: bool = False) -> None:
        """Start a job, or join it when the same content and parameters run already.

        A job that failed or was cancelled starts anew and goes on from its finished chunks.

        Args:
            request: the file and parameters; they determine the job id.
            again: start even when the job has completed or is running, which ends that run.
        """
        try:
            await self.temporal.start_workflow(
                TranscribeFile.run,
                request,
                id=request.job_id,
                task_queue=QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE
                if again
                else WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING
                if again
                else WorkflowIDConflictPolicy.USE_EXISTING,
            )
        except WorkflowAlreadyStartedError:
            return  # it has completed: its result is the answer
        except RPCError as error:
            raise _as_v2t_error(error) from error

    async def result(self, job_id: str) -> TranscribeResult:
        """Wait for a job to end.

        Raises:
            JobNotFound: no such job.
            JobCancelled: it was cancelled.
            V2TError: the error that it ended with.
        """
        try:
            return await _patiently(self._handle(job_id).result, job_id)
        except WorkflowFailureError as error:
            raise _as_v2t_error(error) from error

    async def describe(self, job_id: str) -> JobView:
        """State and progress of a job. Raises JobNotFound."""
        description = await _patiently(self._handle(job_id).describe, job_id)
        progress = None
        if description.status == WorkflowExecutionStatus.RUNNING:
            progress = await self._progress(job_id)
        return await _view(description, progress)

    async def cancel(self, job_id: str) -> None:
        """Ask a job to stop; its computing ends within 2 seconds. Raises JobNotFound."""
        try:
            await self._handle(job_id).cancel()
        except RPCError as error:
            raise _as_v2t_error(error, job_id) from error

    async def request(self, job_id: str) -> TranscribeRequest:
        """What a job was asked to do. Raises JobNotFound."""
        try:
            return await self._handle(job_id).query(TranscribeFile.request)
        except RPCError as error:
            raise _as_v2t_error(error, job_id) from error

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
            raise _as_v2t_error(error) from error

    async def watch(self, job_id: str, *, every_seconds: float = 0.5) -> AsyncIterator[JobView]:
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


@functools.cache
def _runtime() -> Runtime:
    """The SDK's native part, its log forwarded: by itself it would write to stdout, which is for results."""
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    log = LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
    return Runtime(telemetry=TelemetryConfig(logging=log))


async def _patiently(call: Callable[[], Awaitable[Answer]], job_id: str) -> Answer:
    """Call again while the server is gone, as it is for a moment when it crashed and is started again."""
    gone_since = None
    while True:
        started = time.monotonic()
        try:
            return await call()
        except RPCError as error:
            failure = _as_v2t_error(error, job_id)
            now = time.monotonic()
            if gone_since is None or now - started > _PATIENCE_SECONDS:  # it answered until now
                gone_since = now
            if not isinstance(failure, ClusterUnreachable) or now - gone_since > _PATIENCE_SECONDS:
                raise failure from error
        await asyncio.sleep(_RETRY_SECONDS)


async def _view(description: WorkflowExecutionDescription, progress: Progress | None) -> JobView:
    pending = description.raw_description.pending_activities
    started = [item for item in pending if item.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED]
    running_seconds = 0.0
    for item in started:
        if item.activity_type.name.startswith("transcribe") and item.heartbeat_details.payloads:
            details = await description.data_converter.decode(item.heartbeat_details.payloads)
            running_seconds += float(details[0])
    if progress and pending and not started:
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


def _as_v2t_error(error: BaseException, job_id: str = "") -> V2TError:
    """Translate what Temporal says into our own tree, by the innermost cause that has a name."""
    if isinstance(error, RPCError):
        if _DATABASE_FULL in error.message:
            return StorageFull()
        if error.status == RPCStatusCode.NOT_FOUND:
            return JobNotFound(f"There is no job {job_id}; `v2t jobs list` shows those there are.")
        return ClusterUnreachable(f"The Temporal server failed: {error.message}")
    found: V2TError | None = None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CancelledError):
            return JobCancelled()
        if isinstance(cause, TerminatedError):
            return JobTerminated()
        if isinstance(cause, ApplicationError):
            full = _DATABASE_FULL in cause.message
            found = StorageFull() if full else from_wire(cause.type or "", cause.message)
        cause = cause.__cause__
    return found or JobFailed(str(error))
