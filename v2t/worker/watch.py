"""What a worker's steps do now and did last, seen from outside of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from v2t import metrics
from v2t.domain.errors import V2TError

ENGINE, BOOKKEEPING, PROVIDER = "engine", "bookkeeping", "provider"

_AT_ONCE = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class LastTask:
    """The step that ended last."""

    what: str
    when: float  # Unix time of its end
    seconds: float
    outcome: str  # ok, cancelled, given back, or the code of the error


class TaskWatch(Interceptor):
    """Counts steps, and gives those back at once that the end of the worker cuts off.

    Args:
        totals: slots by kind.
        computing_queues: the queues whose steps take an engine's slot.
        asking_queues: the queues whose steps ask a provider on another machine.
    """

    def __init__(
        self, totals: dict[str, int], computing_queues: Collection[str], asking_queues: Collection[str] = ()
    ) -> None:
        self.totals = totals
        self.used: Counter[str] = Counter(dict.fromkeys(totals, 0))
        self.outcomes: Counter[str] = Counter()
        self.last: LastTask | None = None
        self._kinds = dict.fromkeys(computing_queues, ENGINE) | dict.fromkeys(asking_queues, PROVIDER)
        for kind, total in totals.items():
            metrics.SLOTS.labels(kind, "total").set(total)
            metrics.SLOTS.labels(kind, "used").set(0)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - theirs
        """See Interceptor."""
        return _Watched(next, self)

    def kind_of(self, queue: str) -> str:
        """Which slots a step of this queue takes."""
        return self._kinds.get(queue, BOOKKEEPING)

    def began(self, kind: str) -> None:
        """A step has begun."""
        self.used[kind] += 1
        metrics.SLOTS.labels(kind, "used").set(self.used[kind])

    def ended(self, kind: str, last: LastTask) -> None:
        """A step has ended."""
        self.used[kind] -= 1
        self.outcomes[last.outcome] += 1
        self.last = last
        metrics.SLOTS.labels(kind, "used").set(self.used[kind])
        metrics.TASKS.labels(last.what, last.outcome).inc()


class _Watched(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, watch: TaskWatch) -> None:
        super().__init__(following)
        self._watch = watch

    async def execute_activity(self, input: ExecuteActivityInput) -> object:  # noqa: A002 - theirs
        info = activity.info()
        kind = self._watch.kind_of(info.task_queue)
        started, outcome = time.monotonic(), "ok"
        self._watch.began(kind)
        try:
            return await super().execute_activity(input)
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is None or not details.worker_shutdown:
                outcome = "cancelled"
                raise
            outcome = "given back"
            raise ApplicationError(
                "the worker ends; another one does this step",
                type="GivenBack",
                next_retry_delay=_AT_ONCE,
                category=ApplicationErrorCategory.BENIGN,
            ) from None
        except Exception as error:
            outcome = error.code if isinstance(error, V2TError) else type(error).__name__
            raise
        finally:
            seconds = round(time.monotonic() - started, 3)
            self._watch.ended(kind, LastTask(info.activity_type, time.time(), seconds, outcome))
