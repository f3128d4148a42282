"""How many chunks a worker computes at once: from cores, memory and the size of the model."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from temporalio.worker import (
    CustomSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
)

_USABLE_MEMORY = 0.9
"""The rest is for decoders, the system and what an estimate is off by."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What slots are made of."""

    cores: int
    memory_bytes: int  # that programs can still take; 0: unknown
    graphics_cards: int = 0  # of which the engines compute on the first


def plan_slots(machine: Machine, kind: str, model_bytes: int, *, threads: int = 1, slots: int = 0) -> int:
    """How many engines may run side by side, at least one.

    Args:
        machine: what there is.
        kind: of the worker: cpu, gpu, memory or remote.
        model_bytes: memory that one engine takes with the largest model this worker is for.
        threads: of each engine.
        slots: what the settings ask for; 0: nothing, and for a remote worker it must be set.
    """
    if slots:
        return slots
    by_computing = 1 if machine.graphics_cards or kind == "gpu" else machine.cores // threads
    if not machine.memory_bytes or not model_bytes:
        return max(1, by_computing)
    by_memory = int(machine.memory_bytes * _USABLE_MEMORY) // model_bytes
    return max(1, min(by_computing, by_memory))


class SharedSlots(CustomSlotSupplier):
    """Slots that the queues of one process share.

    A poll holds its slot for up to a minute before it has a task, so a slot cannot be counted when it is reserved:
    an idle queue would starve the other. It is counted when a task uses it. Two queues may therefore take one task
    more than there are slots; the pool of engines makes it wait its turn.

    Args:
        total: how many tasks may be computed at once.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._polls: Counter[str] = Counter()  # slots reserved and not used yet, by queue
        self._lock = threading.Lock()  # the SDK reports uses and releases from threads of its own
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        """Wait for a free slot."""
        changed = asyncio.Event()
        self._waiting[changed] = asyncio.get_running_loop()
        try:
            while (permit := self.try_reserve_slot(ctx)) is None:
                await changed.wait()
                changed.clear()
        finally:
            del self._waiting[changed]
        return permit

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        """A slot if one is free for this queue."""
        with self._lock:
            if self._used + self._polls[ctx.task_queue] >= self._total:
                return None
            self._polls[ctx.task_queue] += 1
        return _QueuePermit(ctx.task_queue)

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """A task has come."""
        permit = ctx.permit
        assert isinstance(permit, _QueuePermit)
        with self._lock:
            permit.used = True
            self._polls[permit.queue] -= 1
            self._used += 1

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        """A task has ended, or a poll ended without one."""
        permit = ctx.permit
        assert isinstance(permit, _QueuePermit)
        with self._lock:
            if permit.used:
                self._used -= 1
            else:
                self._polls[permit.queue] -= 1
        for changed, loop in list(self._waiting.items()):
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)


class _QueuePermit(SlotPermit):
    """Remembers for which queue it was given, and whether a task has used it."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.used = False
