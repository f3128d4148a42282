"""What Temporal knows of task queues: who polls them, how much waits in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError

from v2t.client.connection import as_v2t_error
from v2t.domain.workers import WorkerIdentity
from v2t.workflows.policies import (
    COMPUTING_QUEUES,
    CPU_QUEUE,
    GPU_QUEUE,
    KIND_QUEUES,
    MEMORY_QUEUE,
    QUEUE,
    REMOTE_QUEUE,
)

QUEUES = (QUEUE, CPU_QUEUE, GPU_QUEUE, MEMORY_QUEUE, REMOTE_QUEUE)
"""All that a cluster shares; each machine has one of its own besides, and each provider on another machine two."""

_FRESH_SECONDS = 75.0
"""A living worker polls at least once in this time: Temporal ends an unanswered poll after a minute."""

_TYPES = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)


@dataclass(frozen=True, slots=True)
class Poller:
    """A worker that asks a queue for work, or did so in the last minutes."""

    identity: str  # see WorkerIdentity
    last_seen_at: float  # Unix time
    version: str = ""


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A queue as Temporal sees it now."""

    name: str
    pollers: tuple[Poller, ...]
    backlog: int  # steps that wait, about
    oldest_seconds: float  # how long the first of them has waited

    def fresh_pollers(self, now: float) -> list[Poller]:
        """Those that are still there, as far as one can know at a Unix time."""
        return [one for one in self.pollers if now - one.last_seen_at < _FRESH_SECONDS]


async def queue_facts(temporal: TemporalClient, names: Sequence[str] = QUEUES) -> list[QueueFacts]:
    """What is known of each queue, asked at the same time. Raises ClusterUnreachable."""
    try:
        return list(await asyncio.gather(*(_describe(temporal, name) for name in names)))
    except RPCError as error:
        raise as_v2t_error(error) from error


async def present_workers(temporal: TemporalClient) -> list[WorkerIdentity]:
    """The workers that are there, however busy: whose slots are all used still polls the shared queue.

    Raises:
        ClusterUnreachable: Temporal does not answer.
    """
    (shared,) = await queue_facts(temporal, (QUEUE,))
    return [WorkerIdentity.parse(poller.identity) for poller in shared.fresh_pollers(time.time())]


def that_do(kind: str, workers: Sequence[WorkerIdentity]) -> list[WorkerIdentity]:
    """Those among the workers that do a kind's work."""
    return [worker for worker in workers if KIND_QUEUES[kind] in COMPUTING_QUEUES.get(worker.kind, ())]


async def is_polled(temporal: TemporalClient, name: str) -> bool:
    """Whether workers ask a queue for work. Raises ClusterUnreachable."""
    (queue,) = await queue_facts(temporal, (name,))
    return bool(queue.fresh_pollers(time.time()))


async def _describe(temporal: TemporalClient, name: str) -> QueueFacts:
    kinds = await asyncio.gather(*(_ask(temporal, name, kind) for kind in _TYPES))
    pollers: dict[str, Poller] = {}
    for poller in (_poller(info) for kind in kinds for info in kind.pollers):
        known = pollers.get(poller.identity)
        if known is None or poller.last_seen_at > known.last_seen_at:
            pollers[poller.identity] = poller
    return QueueFacts(
        name=name,
        pollers=tuple(sorted(pollers.values(), key=lambda poller: poller.identity)),
        backlog=sum(kind.stats.approximate_backlog_count for kind in kinds),
        oldest_seconds=max(kind.stats.approximate_backlog_age.ToNanoseconds() for kind in kinds) / 1e9,
    )


async def _ask(temporal: TemporalClient, name: str, kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse:
    request = DescribeTaskQueueRequest(
        namespace=temporal.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind, report_stats=True
    )
    return await temporal.workflow_service.describe_task_queue(request)


def _poller(info: PollerInfo) -> Poller:
    version = info.deployment_options.build_id or info.worker_version_capabilities.build_id
    return Poller(info.identity, info.last_access_time.ToNanoseconds() / 1e9, version)
