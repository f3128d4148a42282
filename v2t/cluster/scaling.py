"""How many workers a host should run, from what waits for them: rules without clock or I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """What a host may run, and how hasty changes are."""

    least: int = 1
    most: int = 2
    waiting_a_slot: float = 2.0  # more chunks than this waiting for each slot call for more workers
    oldest_seconds: float = 30.0  # and so does a chunk that has waited longer than this
    spare_share: float = 0.75  # workers end only where the rest would be busy to this share at most
    grow_seconds: float = 15.0  # after a change: about what a new worker takes to load its model
    shrink_seconds: float = 300.0  # this long it must have been calm before a worker ends


@dataclass(frozen=True, slots=True)
class Load:
    """What waits, and how busy the workers of this host are."""

    backlog: int = 0  # chunks in the queue that nobody has taken, of the whole cluster
    oldest_seconds: float = 0.0  # how long the first of them has waited
    hosts: int = 1  # machines that share the backlog, this one among them
    used_slots: int = 0
    total_slots: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """What came before; times are seconds of any clock that only goes forward."""

    changed_at: float = -math.inf
    calm_since: float = math.inf  # not calm now


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers this host should run, and why."""

    wanted: int
    reason: str


def decide(
    load: Load, running: int, limits: Limits, history: History, now: float, *, slots_a_worker: int = 1
) -> tuple[Decision, History]:
    """Decide, and what to remember for the next time.

    It grows by what the backlog calls for, at most twofold at once, and shrinks one by one. Between "too much waits"
    and "the rest could do it" nothing changes, so that a constant load comes to a constant number.

    Args:
        load: as it is now.
        running: workers of this host that run and are not told to end.
        limits: never left.
        history: of the last call.
        now: of the same clock as `history`.
        slots_a_worker: chunks a worker computes at once.
    """
    calm = _is_calm(load, running, limits, slots_a_worker)
    calm_since = min(history.calm_since, now) if calm else math.inf
    history = replace(history, calm_since=calm_since)
    wanted, reason = _within(running, limits)
    if wanted == running:
        wanted, reason = _by_load(load, running, limits, history, now, slots_a_worker)
    if wanted != running:
        history = History(changed_at=now, calm_since=now if calm else math.inf)
    return Decision(wanted, reason), history


def _within(running: int, limits: Limits) -> tuple[int, str]:
    if running < limits.least:
        return limits.least, f"at least {limits.least} must run"
    if running > limits.most:
        return limits.most, f"at most {limits.most} may run"
    return running, ""


def _by_load(
    load: Load, running: int, limits: Limits, history: History, now: float, slots_a_worker: int
) -> tuple[int, str]:
    if _is_much(load, running, limits, slots_a_worker):
        share = math.ceil(load.backlog / load.hosts)
        reason = f"{share} chunks wait, the oldest {load.oldest_seconds:.0f} s"
        if running >= limits.most:
            return running, f"{reason}; no more than {limits.most} may run"
        if now - history.changed_at < limits.grow_seconds:
            return running, f"{reason}; the last change must show first"
        needed = math.ceil(share / (limits.waiting_a_slot * slots_a_worker))
        return min(limits.most, max(running + 1, min(needed, 2 * running))), reason
    calm_seconds = now - history.calm_since if history.calm_since < math.inf else 0.0
    rested = min(calm_seconds, now - history.changed_at) >= limits.shrink_seconds
    if running > limits.least and history.calm_since < math.inf and rested:
        return running - 1, f"little to do for {calm_seconds:.0f} s"
    return running, "the workers suffice"


def _is_much(load: Load, running: int, limits: Limits, slots_a_worker: int) -> bool:
    if not load.backlog:
        return False
    waiting = load.backlog / load.hosts
    return waiting > limits.waiting_a_slot * slots_a_worker * running or load.oldest_seconds > limits.oldest_seconds


def _is_calm(load: Load, running: int, limits: Limits, slots_a_worker: int) -> bool:
    """Nothing waits, and one worker less could do what is done now."""
    slots = load.total_slots or running * slots_a_worker
    left = slots * (running - 1) / running if running else 0.0
    return not load.backlog and load.used_slots <= left * limits.spare_share
