"""Waiting in a provider's queue, which may be long because of a limit, or because nobody serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import (
    ActivityError,
    TimeoutError,  # noqa: A004 - its name in the SDK
    TimeoutType,
)

with workflow.unsafe.imports_passed_through():
    from v2t.activities.queues import QueueActivities
    from v2t.workflows.policies import HEARTBEAT_TIMEOUT, KIND_WAIT, QUEUE, RETRY, SERVED_WAIT, STEP_TIMEOUT

_Answer = TypeVar("_Answer")


async def while_served(queue: str, attempt: Callable[[timedelta], Awaitable[_Answer]], priority: Priority) -> _Answer:
    """Have a step wait for its turn in a queue for as long as there are workers that serve it.

    Args:
        queue: its name.
        attempt: the step, told how long it may wait there.
        priority: of the looks at the queue.

    Raises:
        ActivityError: what the step failed of; or it waited, and nobody serves the queue.
    """
    patience = KIND_WAIT
    while True:
        try:
            return await attempt(patience)
        except ActivityError as error:
            if not was_late(error) or not await _is_served(queue, priority):
                raise
        patience = min(2 * patience, SERVED_WAIT)  # workers that have just ended are seen for a minute


def was_late(error: ActivityError) -> bool:
    """Whether no worker took the step in time."""
    return isinstance(error.cause, TimeoutError) and error.cause.type == TimeoutType.SCHEDULE_TO_START


async def _is_served(queue: str, priority: Priority) -> bool:
    return await workflow.execute_activity_method(
        QueueActivities.is_served,
        queue,
        task_queue=QUEUE,
        start_to_close_timeout=STEP_TIMEOUT,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=RETRY,
        priority=priority,
    )
