"""Steps of a paused job that were queued before it was paused: held back in their queue, and released.

The workflow begins no step while it is paused, but those in a queue would still be taken from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import PauseActivityRequest, UnpauseActivityRequest
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError, RPCStatusCode

_CALLS_AT_ONCE = 16


async def hold_queued_steps(temporal: TemporalClient, workflow_id: str) -> None:
    """Hold every step that nobody has begun. Raises RPCError."""
    queued = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    free = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def hold(step: str) -> None:
        request = PauseActivityRequest(
            namespace=temporal.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id),
            identity=temporal.identity,
            id=step,
            reason="the job is paused",
        )
        async with free:
            await _unless_it_ended(temporal.workflow_service.pause_activity(request, retry=True))

    await asyncio.gather(*(hold(step) for step in await _steps(temporal, workflow_id, {queued})))


async def release_held_steps(temporal: TemporalClient, workflow_id: str) -> None:
    """Release every step that is held. Raises RPCError."""
    held = {
        PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED,
        PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED,
    }
    free = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def release(step: str) -> None:
        request = UnpauseActivityRequest(
            namespace=temporal.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id),
            identity=temporal.identity,
            id=step,
        )
        async with free:
            await _unless_it_ended(temporal.workflow_service.unpause_activity(request, retry=True))

    await asyncio.gather(*(release(step) for step in await _steps(temporal, workflow_id, held)))


async def _steps(temporal: TemporalClient, workflow_id: str, states: set[PendingActivityState.ValueType]) -> list[str]:
    description = await temporal.get_workflow_handle(workflow_id).describe()
    return [item.activity_id for item in description.raw_description.pending_activities if item.state in states]


async def _unless_it_ended(call: Awaitable[object]) -> None:
    try:
        await call
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
