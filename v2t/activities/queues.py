"""What steps know of the queues that other steps wait in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from temporalio import activity

from v2t.activities.steps import step


class QueueActivities:
    """Looks at queues.

    Args:
        is_polled: whether workers ask a queue for work.
    """

    def __init__(self, is_polled: Callable[[str], Awaitable[bool]]) -> None:
        self._is_polled = is_polled

    @activity.defn
    async def is_served(self, queue: str) -> bool:
        """Whether there are workers that take steps from a queue."""
        async with step():
            return await self._is_polled(queue)
