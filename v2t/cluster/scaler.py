"""The service that keeps as many workers on a host as the queue calls for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from v2t.client import Client
from v2t.client.queues import QueueFacts, present_workers, queue_facts, that_do
from v2t.cluster.instances import Instance, Instances
from v2t.cluster.scaling import Decision, History, Limits, Load, decide
from v2t.domain.errors import ConnectionFailed
from v2t.workflows.policies import KIND_QUEUES, provider_queue

_CALL_SECONDS = 10.0
"""About what a call of a provider takes twice: more than is let through in this time waits for no worker."""

Observe = Callable[[], Awaitable[Load]]


@dataclass(frozen=True, slots=True)
class Step:
    """What one look came to."""

    load: Load
    running: int
    decision: Decision


class Scaler:
    """Looks, decides, starts and ends workers.

    Args:
        observe: what waits; raises ConnectionFailed while nobody can say.
        instances: the workers of this host.
        limits: how many, and how hasty.
        announce: told of each change in one line.
        dry_run: only say what would be done.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        observe: Observe,
        instances: Instances,
        limits: Limits,
        announce: Callable[[str], None],
        *,
        dry_run: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observe = observe
        self._instances = instances
        self._limits = limits
        self._announce = announce
        self._dry_run = dry_run
        self._clock = clock
        self._history = History()
        self._wanted: int | None = None
        self._told = ""

    async def run(self, ended: asyncio.Event, every_seconds: float) -> None:
        """Look again and again until `ended` is set, and then leave the workers."""
        try:
            while not ended.is_set():
                try:
                    await self.step()
                except ConnectionFailed as error:
                    self._tell(f"nothing changes: {error.message}")
                    await self._replace_dead()
                try:
                    await asyncio.wait_for(ended.wait(), every_seconds)
                except TimeoutError:
                    continue
        finally:
            await self._instances.close()

    async def step(self) -> Step:
        """Look once, and act. Raises ConnectionFailed."""
        load = await self._observe()
        alive, wanted = await self._replace_dead()
        load = replace(
            load,
            used_slots=sum(one.used_slots for one in alive),
            total_slots=sum(one.total_slots for one in alive),
        )
        known = [one.total_slots for one in alive if one.total_slots]
        decision, self._history = decide(
            load,
            wanted,
            self._limits,
            self._history,
            self._clock(),
            slots_a_worker=max(known, default=1),
        )
        if decision.wanted != wanted:
            self._tell(f"{decision.wanted} workers instead of {wanted}: {decision.reason}")
        self._wanted = decision.wanted
        if not self._dry_run:
            await self._bring_about(alive, decision.wanted)
        return Step(load, len(alive), decision)

    async def _replace_dead(self) -> tuple[Sequence[Instance], int]:
        """Those that run, after as many were started as are missing, and how many are wanted."""
        alive = await self._instances.running()
        if self._wanted is None:  # what runs already was wanted by the scaler before this one
            self._wanted = min(max(self._limits.least, len(alive)), self._limits.most)
        missing = self._wanted - len(alive)
        if self._dry_run or missing <= 0:
            return alive, self._wanted
        for _ in range(missing):
            await self._instances.start()
        return await self._instances.running(), self._wanted

    async def _bring_about(self, alive: Sequence[Instance], wanted: int) -> None:
        for _ in range(wanted - len(alive)):
            await self._instances.start()
        # the idle ones first, and among them the youngest
        youngest_first = [one for one in reversed(alive) if not one.lasts]
        leaving = sorted(youngest_first, key=lambda one: one.used_slots)
        for instance in leaving[: max(0, len(alive) - wanted)]:
            await self._instances.stop(instance.name)

    def _tell(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self._announce(line)


async def observe_queue(client: Client, kind: str, providers: Mapping[str, float] = MappingProxyType({})) -> Load:
    """What waits for workers of a kind. Raises ClusterUnreachable.

    Args:
        client: the cluster.
        kind: of the workers.
        providers: those on other machines that workers ask, and how many requests each takes in a minute; 0: no limit.
    """
    asked = {provider_queue(name, kind): limit for name, limit in providers.items()} if kind == "remote" else {}
    queues = await queue_facts(client.temporal, (KIND_QUEUES[kind], *asked))
    hosts = {worker.host for worker in that_do(kind, await present_workers(client.temporal))}
    loads = [_load_of(queue, asked.get(queue.name, 0.0)) for queue in queues]
    backlog, oldest = sum(load.backlog for load in loads), max(load.oldest_seconds for load in loads)
    return Load(backlog, oldest, max(1, len(hosts)))


def _load_of(queue: QueueFacts, requests_per_minute: float) -> Load:
    """What waits in a queue for workers, and not because its provider takes no more in a minute."""
    if not requests_per_minute:
        return Load(queue.backlog, queue.oldest_seconds)
    return Load(min(queue.backlog, round(requests_per_minute * _CALL_SECONDS / 60)))
