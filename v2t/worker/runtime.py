"""Temporal workers over a set of activities: which queues a process polls, and with how many slots."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import (
    Interceptor,
    PollerBehaviorSimpleMaximum,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkerTuner,
)

from v2t.activities.transcription import TranscriptionActivities
from v2t.client import Client
from v2t.domain.workers import WorkerIdentity
from v2t.worker.steps import Steps
from v2t.workflows.catalogue import WORKFLOWS
from v2t.workflows.policies import (
    COMPUTING_QUEUES,
    QUEUE,
    host_queue,
    provider_queue,
)
from v2t.workflows.transcribe_file import TranscribeFile

DEPLOYMENT = "v2t"
"""What Temporal calls all versions of the worker together."""

_HEARTBEAT_THROTTLE = timedelta(seconds=1)
"""How long the SDK may hold a heartbeat back: its default of 30 s would hold cancellation back as long."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A provider on another machine that a worker process asks."""

    provider: str
    slots: int  # calls of this process at once
    calls_per_second: float = 0.0  # of the whole cluster; 0: no limit


@dataclass(frozen=True, slots=True)
class Role:
    """What a worker process is to the cluster. The default is the one worker of an embedded cluster."""

    kind: str = "cpu"
    host: str = ""  # polls this machine's own queue; empty: there is one machine only
    bookkeeping_slots: int = 8
    """Cutting, merging and recording at once; they mostly wait, for a child or a disk."""
    build_id: str = ""  # empty: v2t's own version
    versioned: bool = False
    asked: tuple[Asked, ...] = ()

    @property
    def identity(self) -> str | None:
        """How pollers of a queue are told apart."""
        return str(WorkerIdentity(self.host, str(os.getpid()), self.kind)) if self.host else None

    @property
    def version(self) -> str:
        """What Temporal shows as the worker's version."""
        return self.build_id or own_build_id()

    @property
    def computing_queues(self) -> tuple[str, ...]:
        """The queues it computes for, its own first."""
        return COMPUTING_QUEUES[self.kind]

    @property
    def asking_queues(self) -> dict[str, Asked]:
        """The queues of the providers that it asks."""
        return {provider_queue(one.provider, self.kind): one for one in self.asked}

    @property
    def queues(self) -> tuple[str, ...]:
        """All that it polls."""
        hosts = (host_queue(self.host),) if self.host else ()
        return (QUEUE, *hosts, *self.computing_queues, *self.asking_queues)


_EMBEDDED = Role()
_NO_STEPS = Steps()


@asynccontextmanager
async def running_workers(
    client: Client,
    activities: TranscriptionActivities,
    slots: int,
    *,
    grace: timedelta = timedelta(0),
    role: Role = _EMBEDDED,
    more: Steps = _NO_STEPS,
    interceptors: Sequence[Interceptor] = (),
) -> AsyncIterator[None]:
    """Poll the queues while the body runs.

    At the end no new work is taken from any queue.

    Args:
        client: the cluster to work for.
        activities: the steps of one file.
        slots: how many chunks it computes at once.
        grace: how long running steps may go on at the end; then they are cancelled and
            given back, so that another worker, or this one later, does them again.
        role: which queues, and under which name.
        more: what else is done on the bookkeeping queue.
        interceptors: see every step.
    """
    common: dict[str, Any] = {
        "identity": role.identity,
        "interceptors": interceptors,
        "max_heartbeat_throttle_interval": _HEARTBEAT_THROTTLE,
        "default_heartbeat_throttle_interval": _HEARTBEAT_THROTTLE,
        "graceful_shutdown_timeout": grace,
    }
    workers = [_bookkeeping(client, activities, role, more, common)]
    if role.host:
        workers.append(_host_worker(client, activities, role, common))
    workers += _computing(client, activities, slots, role, common)
    workers += _asking(client, activities, role, common)
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        try:
            yield
        finally:  # together: one that still polled would take work while another drains
            await asyncio.gather(*(worker.shutdown() for worker in workers))


@asynccontextmanager
async def answering_worker(client: Client) -> AsyncIterator[None]:
    """Answer queries about jobs while the body runs, without doing any of their work."""
    async with Worker(
        client.temporal,
        task_queue=QUEUE,
        build_id=own_build_id(),
        workflows=[TranscribeFile, *WORKFLOWS],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield


def own_build_id() -> str:
    """The worker's version where none is configured; without one the SDK hashes all loaded code, for half a second."""
    return f"v2t-{importlib.metadata.version('v2t')}"


def _bookkeeping(
    client: Client, activities: TranscriptionActivities, role: Role, more: Steps, common: dict[str, Any]
) -> Worker:
    """Workflows and what they do beside computing.

    Only this queue is versioned: what a workflow does must not change under it, while a chunk is the same chunk for
    every version, and machines that are upgraded last go on computing.
    """
    version = WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=role.version)
    versioning: dict[str, Any] = {"build_id": role.version}
    if role.versioned:
        versioning = {
            "deployment_config": WorkerDeploymentConfig(
                version=version,
                use_worker_versioning=True,
                default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
            )
        }
    return Worker(
        client.temporal,
        task_queue=QUEUE,
        workflows=[TranscribeFile, *more.workflows],
        workflow_runner=UnsandboxedWorkflowRunner(),  # tests run all workflows in the sandbox
        activities=[
            activities.cut_audio,
            activities.merge_transcript,
            activities.record_failure,
            *more.activities,
        ],
        max_concurrent_activities=role.bookkeeping_slots,
        **versioning,
        **common,
    )


def _host_worker(client: Client, activities: TranscriptionActivities, role: Role, common: dict[str, Any]) -> Worker:
    return Worker(
        client.temporal,
        task_queue=host_queue(role.host),
        build_id=role.version,
        activities=[activities.cut_audio],
        max_concurrent_activities=role.bookkeeping_slots,
        **common,
    )


def _computing(
    client: Client, activities: TranscriptionActivities, slots: int, role: Role, common: dict[str, Any]
) -> list[Worker]:
    """A worker for each computing queue; several share the slots."""
    queues = role.computing_queues
    limits: dict[str, Any] = {"max_concurrent_activities": slots}
    if len(queues) > 1:
        from v2t.worker.slots import SharedSlots

        limits = {
            "tuner": _tuner(SharedSlots(slots)),
            "activity_task_poller_behavior": PollerBehaviorSimpleMaximum(maximum=1),
        }
    return [
        Worker(
            client.temporal,
            task_queue=queue,
            build_id=role.version,
            activities=[activities.transcribe_chunk, activities.transcribe_short, activities.transcribe_small],
            **limits,
            **common,
        )
        for queue in queues
    ]


def _asking(client: Client, activities: TranscriptionActivities, role: Role, common: dict[str, Any]) -> list[Worker]:
    """A worker for each provider on another machine, with slots of its own: one that is slow takes no other's.

    Temporal itself hands out no more calls than the limit, whoever asks; of workers with different limits, the last
    that asked has the say. It hands out those of a second at once, so that a minute is kept to and a second is not.
    """
    return [
        Worker(
            client.temporal,
            task_queue=queue,
            build_id=role.version,
            activities=[activities.transcribe_chunk, activities.transcribe_short],
            max_concurrent_activities=one.slots,
            max_task_queue_activities_per_second=one.calls_per_second or None,
            activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=1),
            **common,
        )
        for queue, one in role.asking_queues.items()
    ]


def _tuner(activity_slots: Any) -> WorkerTuner:
    from temporalio.worker import FixedSizeSlotSupplier

    return WorkerTuner.create_composite(
        workflow_supplier=FixedSizeSlotSupplier(1),
        activity_supplier=activity_slots,
        local_activity_supplier=FixedSizeSlotSupplier(1),
        nexus_supplier=FixedSizeSlotSupplier(1),
    )
