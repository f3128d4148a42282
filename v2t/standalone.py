"""The embedded cluster: everything a job needs on one machine, owned and torn down here.

Its folder holds the objects, the job records, and Temporal's database. One process at a time owns the
cluster, by a lock on `cluster.lock`, which also stands for its life: whoever finds the lock taken reads the
server's address from `cluster.json` and is a client. Jobs outlive their owner, however it ends: the
next one opens the same database and goes on with them.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from v2t import wiring
from v2t.development_server import refuse_taken_port, server_command, server_environment
from v2t.domain.errors import (
    DISK_FULL,
    ClusterUnreachable,
    StorageFull,
    StorageUnwritable,
)
from v2t.domain.jobs import LOCAL, JobState
from v2t.domain.ports import JobRecords, ObjectStore
from v2t.process.ports import LOOPBACK, free_port
from v2t.process.service import Service

if TYPE_CHECKING:
    from v2t.client import Client
    from v2t.config import Settings
    from v2t.storage.objects import DirectoryObjectStore
    from v2t.workshop import Workshop

_START_SECONDS = 30.0
_POLL_SECONDS = 0.02
_OWNER_POLL_SECONDS = 0.2
_RETENTION_DAYS = 1
"""As the development server has it by default."""

_TEMPORAL_FREE_BYTES = 64 * 1024 * 1024
"""Temporal's database must be able to grow while a job runs: less than this is a full disk."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An open cluster."""

    client: Client
    store: ObjectStore
    records: JobRecords
    owned: bool  # whether this process runs it
    slots: int = 0  # engines side by side; 0 where another process runs them
    remote: bool = False  # whether it is a cluster of servers, and not the embedded one
    lost: asyncio.Event = field(default_factory=asyncio.Event)  # set when the process that runs it has ended


@dataclass(frozen=True, slots=True)
class Running:
    """Who runs the embedded cluster, as written in `cluster.json`."""

    address: str
    pid: int
    kept: bool  # by `v2t up`, until `v2t down`
    ui_address: str = ""


@asynccontextmanager
async def open_cluster(
    settings: Settings,
    *,
    provider: str = LOCAL,
    model: str = "",
    keep: bool = False,
    work: bool = True,
    busy: bool = False,
) -> AsyncIterator[Cluster]:
    """Join the embedded cluster if one runs, else run it for as long as the body lasts.

    Args:
        settings: where its folder is, and sizes.
        provider: whose engine to load ahead.
        model: which model to load ahead; empty: none.
        keep: say in `cluster.json` that this owner stays until `v2t down`.
        work: do the jobs' work; without, an owner only answers questions about them.
        busy: many files are coming.

    Raises:
        StorageError: the folder cannot be used.
        ServerNotInstalled: there is no Temporal development server.
        PortInUse: the configured port is taken.
        ClusterUnreachable: the server does not start, or the one that runs does not answer.
    """
    folder = prepare_folder(settings.standalone.folder)
    async with _deadline("The embedded cluster does not start; see the logs in " + str(folder)):
        while True:
            lock, running = _take_lock(folder), find_running(folder)
            if lock or running:
                break
            await asyncio.sleep(_POLL_SECONDS)  # its owner is on the way up or down
    if lock:
        with lock:
            async with _owned(settings, folder, provider, model, keep=keep, work=work, busy=busy) as cluster:
                yield cluster
    elif running:
        async with _joined(settings, running) as cluster:
            yield cluster


def find_running(folder: Path) -> Running | None:
    """Who runs the cluster of `folder` now, or None."""
    try:
        with (folder / "cluster.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        with suppress(OSError, ValueError, TypeError):
            return Running(**json.loads((folder / "cluster.json").read_text()))
    return None


def prepare_folder(folder: Path) -> Path:
    """Make the data folder, private to its owner. Raises StorageFull, StorageUnwritable."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageFull from error
        raise StorageUnwritable(
            f"{folder} cannot be written ({error.strerror}); set V2T_STANDALONE__FOLDER to a folder that can"
        ) from error
    if free < _TEMPORAL_FREE_BYTES:
        raise StorageFull(f"{folder} has only {free // 1024**2} MB left; free some space and run the command again.")
    return folder


def _take_lock(folder: Path) -> IO[bytes] | None:
    lock = (folder / "cluster.lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    (folder / "cluster.json").unlink(missing_ok=True)  # left by an owner that was killed
    return lock


@asynccontextmanager
async def _deadline(message: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_START_SECONDS):
            yield
    except TimeoutError as error:
        raise ClusterUnreachable(message) from error


@asynccontextmanager
async def _joined(settings: Settings, running: Running) -> AsyncIterator[Cluster]:
    from v2t.client import Client

    client = await Client.connect(running.address, settings.standalone.namespace)
    cluster = Cluster(client, wiring.open_folder_store(settings), wiring.open_records(settings), owned=False)
    watch = asyncio.create_task(_tell_when_lost(settings.standalone.folder, running, cluster.lost))
    try:
        yield cluster
    finally:
        watch.cancel()


async def _tell_when_lost(folder: Path, running: Running, lost: asyncio.Event) -> None:
    """The SDK would try to reach a server that is gone for half a minute."""
    while find_running(folder) == running:  # noqa: ASYNC110 - the end of another process is no event
        await asyncio.sleep(_OWNER_POLL_SECONDS)
    lost.set()


@asynccontextmanager
async def _owned(
    settings: Settings, folder: Path, provider: str, model: str, *, keep: bool, work: bool, busy: bool
) -> AsyncIterator[Cluster]:
    """Run the server and, unless told otherwise, a worker; everything slow to start starts at once."""
    port = settings.standalone.port or free_port()
    ui_port = free_port() if settings.standalone.ui else 0
    refuse_taken_port(port)
    command = server_command(settings.standalone.namespace, folder / "temporal.db", port, ui_port)
    service = Service(command, folder / "temporal.log", server_environment(busy=busy))
    service.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(service.stop)
        store, records = wiring.open_folder_store(settings), wiring.open_records(settings)
        stack.callback(records.close)
        workshop = _open_workshop(settings, store, records) if work else None
        if workshop:
            stack.push_async_callback(workshop.close)
            if model:
                workshop.warm_up(provider, model)
        # In a thread, because the children must be started meanwhile: importing the SDK takes half a second.
        await asyncio.to_thread(importlib.import_module, "v2t.worker.runtime")
        client = await _connect(service, f"{LOOPBACK}:{port}", settings.standalone.namespace)
        service.keep_running()
        await stack.enter_async_context(_worker(settings, client, workshop, store, records))
        stack.callback((folder / "cluster.json").unlink, missing_ok=True)
        ui_address = f"http://{LOOPBACK}:{ui_port}" if ui_port else ""
        _announce(folder, Running(f"{LOOPBACK}:{port}", os.getpid(), keep, ui_address))
        if workshop:
            # The first jobs compute in children now: time to load the database library, which takes half a second.
            threading.Thread(target=_open_quietly, args=(records,), daemon=True).start()
            await _expire_audio(settings, client, store)
        yield Cluster(client, store, records, owned=True, slots=workshop.slots if workshop else 0)


def _open_workshop(settings: Settings, store: ObjectStore, records: JobRecords) -> Workshop:
    from v2t.workshop import Workshop

    return Workshop(settings, store, records)


def _worker(
    settings: Settings, client: Client, workshop: Workshop | None, store: ObjectStore, records: JobRecords
) -> AbstractAsyncContextManager[None]:
    from v2t.worker.asked import asked_providers
    from v2t.worker.runtime import Role, answering_worker, running_workers
    from v2t.worker.steps import gather_steps

    if workshop is None:
        return answering_worker(client)
    steps = gather_steps(client, store, records, workshop.scratch)
    role = Role(asked=asked_providers(settings))
    return running_workers(client, workshop.activities, workshop.slots, role=role, more=steps)


async def _expire_audio(settings: Settings, client: Client, store: DirectoryObjectStore) -> None:
    """Remove recordings past their time, unless a job that was left running may still need one."""
    if not any(job.state == JobState.RUNNING for job in await client.list_jobs()):
        age_seconds = settings.standalone.keep_audio_days * 86_400
        await asyncio.to_thread(store.expire, "audio/", age_seconds)


async def _connect(service: Service, address: str, namespace: str) -> Client:
    from v2t.client import Client

    async with _deadline(f"The Temporal server does not start; its log is {service.log}"):
        while True:
            try:
                client = await Client.connect(address, namespace)
                await client.ping()
                # The server adds search attributes to a namespace it makes, not to one of an earlier version.
                await client.prepare_namespace(_RETENTION_DAYS)
            except ClusterUnreachable:
                if service.exit_code is not None:
                    raise ClusterUnreachable(
                        f"The Temporal server ended with code {service.exit_code}; its log is {service.log}"
                    ) from None
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return client


def _announce(folder: Path, running: Running) -> None:
    draft = folder / "cluster.json.new"
    draft.write_text(json.dumps({name: getattr(running, name) for name in Running.__slots__}))
    draft.replace(folder / "cluster.json")


def _open_quietly(records: Any) -> None:
    """Load the records ahead; a failure is met again, and reported, when they are used."""
    with suppress(Exception):
        records.open()
