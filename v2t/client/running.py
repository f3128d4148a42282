"""The port RunningJobs: what Temporal knows of jobs, for steps that look after jobs which others started."""

from __future__ import annotations

from collections.abc import AsyncIterator

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from v2t.client.connection import as_v2t_error
from v2t.client.jobs import Client
from v2t.domain.jobs import JobState, TranscribeRequest, TranscribeResult

_STATES = {
    None: JobState.RUNNING,
    WorkflowExecutionStatus.RUNNING: JobState.RUNNING,
    WorkflowExecutionStatus.CONTINUED_AS_NEW: JobState.RUNNING,
    WorkflowExecutionStatus.COMPLETED: JobState.COMPLETED,
    WorkflowExecutionStatus.CANCELED: JobState.CANCELLED,
}


def as_state(status: WorkflowExecutionStatus | None) -> JobState:
    """What Temporal's word for a workflow means for its job or batch."""
    return _STATES.get(status, JobState.FAILED)


class TemporalJobs:
    """RunningJobs of a cluster.

    Args:
        client: the cluster.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def state(self, job_id: str) -> JobState | None:
        """How the newest run of a job stands, or None where none is known. Raises ClusterUnreachable."""
        try:
            description = await self._client.temporal.get_workflow_handle(job_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise as_v2t_error(error, job_id) from error
        return as_state(description.status)

    async def result(self, job_id: str) -> TranscribeResult:
        """Wait for a job to end. Raises the V2TError that it ended with."""
        return await self._client.result(job_id)

    async def requests(self) -> AsyncIterator[TranscribeRequest]:
        """What every job that runs now was asked to do, read from its first event: no worker need be there."""
        async for job_id in self._running("TranscribeFile"):
            if request := await self._request(job_id):
                yield request

    async def batch_ids(self) -> AsyncIterator[str]:
        """Every batch that runs now."""
        async for batch_id in self._running("TranscribeBatch"):
            yield batch_id

    async def _running(self, workflow: str) -> AsyncIterator[str]:
        query = f"WorkflowType = '{workflow}' AND ExecutionStatus = 'Running'"
        try:
            async for execution in self._client.temporal.list_workflows(query):
                yield execution.id
        except RPCError as error:
            raise as_v2t_error(error) from error

    async def _request(self, job_id: str) -> TranscribeRequest | None:
        handle = self._client.temporal.get_workflow_handle(job_id)
        try:
            async for event in handle.fetch_history_events(page_size=1):
                started = event.workflow_execution_started_event_attributes
                converter = self._client.temporal.data_converter
                (request,) = await converter.decode(started.input.payloads, [TranscribeRequest])
                assert isinstance(request, TranscribeRequest)
                return request
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:  # it has ended, and is forgotten, since it was listed
                raise as_v2t_error(error, job_id) from error
        return None
