"""A worker's life as a service: wait for the servers, poll, drain; the loss of a server ends none of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from v2t import wiring
from v2t.client.fleet import engines_of, kinds_of
from v2t.domain.errors import ClusterUnreachable, ConfigurationError, ConnectionFailed, StorageError, V2TError
from v2t.domain.jobs import LOCAL, transcript_key
from v2t.process.ports import LOOPBACK, free_port
from v2t.providers.table import LOCAL_PROVIDERS
from v2t.weights.catalogue import memory_bytes
from v2t.worker.acceleration import Acceleration, find_acceleration
from v2t.worker.asked import asked_providers
from v2t.worker.health import health_server, make_application
from v2t.worker.runtime import Role, running_workers
from v2t.worker.sdk_metrics import read_metrics
from v2t.worker.slots import Machine, plan_slots
from v2t.worker.status import WorkerStatus
from v2t.worker.steps import Steps, gather_steps
from v2t.worker.systemd import Notifier
from v2t.worker.versions import make_first_current
from v2t.worker.watch import BOOKKEEPING, ENGINE, PROVIDER, TaskWatch
from v2t.workshop import Workshop, available_memory

if TYPE_CHECKING:
    from v2t.client import Client
    from v2t.config import Settings
    from v2t.providers.engines import Engines

Opened = TypeVar("Opened")

_RETRY_SECONDS = 1.0
_PING_SECONDS = 2.0
_PING_TIMEOUT_SECONDS = 5.0
_ROUND_SECONDS = _PING_SECONDS + _PING_TIMEOUT_SECONDS
_LARGE_MODEL = "large-v3"
"""What a memory worker is for."""

_NO_JOB = "t-aaaaaaaaaaaaaaaaaaaaaaaaaa"
"""An id that no content has: asking for it shows whether a server answers."""


@dataclass(frozen=True, slots=True)
class Host:
    """What the worker's surroundings want to know."""

    announce: Callable[[str], None]  # told in one line each what the operator should know
    notifier: Notifier


async def serve_worker(settings: Settings, ended: asyncio.Event, host: Host) -> None:
    """Work for the cluster of the settings until `ended` is set, then drain.

    Raises:
        ConfigurationError: the settings do not allow it to start, or a server refuses its account.
        PortInUse: the health server's port is taken.
    """
    if not settings.is_cluster:
        raise ConfigurationError(
            "temporal.address is not set, so there is no cluster to work for; "
            "set it, or use `v2t up`, which runs everything on this machine"
        )
    engines = wiring.open_engines(settings)
    engines.check_settings()
    status = await _make_status(settings, engines)
    for passed_over in status.acceleration.passed_over if status.acceleration else ():
        host.announce(f"passes over {passed_over}")
    address = settings.worker.health_address
    application = make_application(status, lambda: read_metrics(status.metrics_address))
    async with health_server(address, settings.worker.health_port, application) as port:
        host.announce(f"worker {status.role.identity}, health server on http://{address}:{port}")
        working = asyncio.create_task(_work(settings, status, engines, ended, host))
        ending = asyncio.create_task(ended.wait())
        watchdog = asyncio.create_task(_feed_watchdog(status, host.notifier))
        try:
            await asyncio.wait({ending, working}, return_when=asyncio.FIRST_COMPLETED)
            if not status.started:  # still waiting for servers: there is nothing to drain
                working.cancel()
            with suppress(asyncio.CancelledError):
                await working
        finally:
            for task in (working, ending, watchdog):
                task.cancel()
            await asyncio.gather(working, ending, watchdog, return_exceptions=True)


async def _work(settings: Settings, status: WorkerStatus, engines: Engines, ended: asyncio.Event, host: Host) -> None:
    async with AsyncExitStack() as stack:
        store = wiring.open_worker_store(settings)
        records = wiring.open_records(settings)
        stack.callback(records.close)
        probe = transcript_key(_NO_JOB)
        client = await _wait_for(status, host, "Temporal", lambda: _connect(settings, status))
        await _wait_for(status, host, "the object store", lambda: asyncio.to_thread(store.exists, probe))
        await _wait_for(status, host, "the database", lambda: asyncio.to_thread(records.get, _NO_JOB))
        accelerations = {found.engine: found.used} if (found := status.acceleration) else {}
        sized = _with_slots(settings, status)
        count_engines = engines_of(client, settings.worker.kind, sized.engine.slots)
        workshop = Workshop(sized, store, records, accelerations, kinds_of(client), count_engines, engines)
        stack.push_async_callback(workshop.close)
        if status.role.kind != "remote":
            workshop.warm_up(LOCAL, settings.models.default)
        pinging = asyncio.create_task(_ping(client, status, host))
        stack.callback(pinging.cancel)
        steps = gather_steps(client, store, records, wiring.scratch_folder(settings))
        status.started = True
        while not ended.is_set():
            await _poll_until(ended, settings, client, workshop, steps, status, host)


async def _poll_until(
    ended: asyncio.Event,
    settings: Settings,
    client: Client,
    workshop: Workshop,
    steps: Steps,
    status: WorkerStatus,
    host: Host,
) -> None:
    """Poll until the end is wanted, and drain; or until the SDK gives up, as when a server comes back odd."""
    grace_seconds = settings.worker.drain_seconds
    try:
        async with running_workers(
            client,
            workshop.activities,
            status.watch.totals[ENGINE],
            grace=timedelta(seconds=grace_seconds),
            role=status.role,
            more=steps,
            interceptors=[status.watch],
        ):
            if status.role.versioned:
                await make_first_current(client, status.role.version)
            status.phase, status.polling = "polling", True
            host.announce(f"takes work from {', '.join(status.role.queues)}")
            host.notifier.ready(status.line())
            await ended.wait()
            status.phase, status.polling = "draining", False
            host.announce(f"draining for at most {grace_seconds:g} s; a second signal ends at once")
            host.notifier.stopping(status.line())
    except (RuntimeError, ClusterUnreachable) as error:
        status.phase, status.polling = "waiting for Temporal", False
        host.announce(f"Temporal does not let it poll, trying again: {error}")
        await asyncio.sleep(_RETRY_SECONDS)


async def _wait_for(status: WorkerStatus, host: Host, what: str, attempt: Callable[[], Awaitable[Opened]]) -> Opened:
    """Try until the server answers; only what waiting cannot mend is raised."""
    told = ""
    while True:
        try:
            return await attempt()
        except (ConnectionFailed, StorageError) as error:
            if not error.retryable:
                raise
            status.phase = f"waiting for {what}"
            if error.message != told:
                told = error.message
                host.announce(f"waiting for {what}: {told}")
                host.notifier.status(status.line())
        await asyncio.sleep(_RETRY_SECONDS)


async def _connect(settings: Settings, status: WorkerStatus) -> Client:
    client = await wiring.connect_client(settings, status.metrics_address)
    await client.ping()
    status.temporal_reachable, status.temporal_error = True, ""
    return client


async def _ping(client: Client, status: WorkerStatus, host: Host) -> None:
    """Keep the status true to whether Temporal answers."""
    while True:
        error = ""
        status.turns += 1
        try:
            async with asyncio.timeout(_PING_TIMEOUT_SECONDS):
                await client.ping()
        except (V2TError, TimeoutError) as failure:
            error = str(failure) or f"no answer in {_PING_TIMEOUT_SECONDS:g} s"
        if bool(error) == status.temporal_reachable:
            host.announce(f"Temporal is lost, waiting for it: {error}" if error else "Temporal answers")
        status.temporal_error, status.temporal_reachable = error, not error
        host.notifier.status(status.line())
        await asyncio.sleep(_PING_SECONDS)


async def _feed_watchdog(status: WorkerStatus, notifier: Notifier) -> None:
    """Tell systemd that the loop turns, and that asking Temporal comes to an end, whatever the answer.

    A server that is down is not mended by another start of this worker, which would lose what it computes.
    """
    turns = -1
    while notifier.watchdog_seconds:
        if not status.started or status.turns != turns or notifier.watchdog_seconds / 2 < _ROUND_SECONDS:
            turns = status.turns
            notifier.alive()
        await asyncio.sleep(notifier.watchdog_seconds / 2)


async def _make_status(settings: Settings, engines: Engines) -> WorkerStatus:
    worker = settings.worker
    acceleration = None
    if worker.kind != "remote":
        acceleration = await asyncio.to_thread(find_acceleration, worker.acceleration, LOCAL, engines)
    asked = asked_providers(settings)
    role = Role(worker.kind, worker.machine, worker.bookkeeping_slots, worker.build_id, worker.versioned, asked)
    totals = {ENGINE: _plan_slots(settings, acceleration), BOOKKEEPING: worker.bookkeeping_slots}
    if asked:
        totals[PROVIDER] = sum(one.slots for one in asked)
    watch = TaskWatch(totals, role.computing_queues, role.asking_queues)
    metrics_address = f"{LOOPBACK}:{free_port()}"
    return WorkerStatus(role, watch, acceleration, settings.models.default, settings.temporal.address, metrics_address)


def _plan_slots(settings: Settings, acceleration: Acceleration | None) -> int:
    if acceleration is None:
        return settings.worker.remote_slots
    model_format = LOCAL_PROVIDERS[acceleration.engine].model_format
    model_bytes = memory_bytes(settings.models.default, model_format)
    if settings.worker.kind == "memory":
        model_bytes = max(model_bytes, memory_bytes(_LARGE_MODEL, model_format))
    machine = Machine(len(os.sched_getaffinity(0)), available_memory(), acceleration.graphics_cards)
    return plan_slots(
        machine, settings.worker.kind, model_bytes, threads=settings.engine.threads, slots=settings.engine.slots
    )


def _with_slots(settings: Settings, status: WorkerStatus) -> Settings:
    """The settings with the slots that were found, for the pool of engines."""
    engine = settings.engine.model_copy(update={"slots": status.watch.totals[ENGINE]})
    return settings.model_copy(update={"engine": engine})
