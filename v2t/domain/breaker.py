"""When a provider that fails is left alone for a while: a circuit breaker as pure functions.

The pattern is Nygard's (Release It!, 2nd edition, section 5.2): closed while it is well, open while it is left alone,
half open while one call finds out. A provider that only asks to come back later is not in trouble: whoever wants to
call it waits as long, and then calls go out one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When it opens, and for how long."""

    calls: int = 10  # the last so many are looked at
    least_calls: int = 5  # fewer say nothing
    failed_share: float = 0.5  # from this share of failures on it opens
    pause_seconds: float = 30.0  # of the first time; each time in a row is twice as long
    longest_pause_seconds: float = 600.0
    probe_seconds: float = 120.0  # a probe that says nothing for so long is taken for lost
    longest_busy_seconds: float = 600.0  # whoever asks for more rest is called again anyway
    turn_seconds: float = 0.2  # between calls when it was busy just before
    turns_seconds: float = 5.0  # for so long after it was busy


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is known of a provider; times are Unix seconds, which machines of a cluster share."""

    outcomes: tuple[bool, ...] = ()  # of the last calls, the newest last: whether each went well
    open_until: float = 0.0  # 0: closed
    probe_until: float = 0.0  # 0: nobody tries
    openings: int = 0  # in a row
    reason: str = ""  # of the last failure
    busy_until: float = 0.0  # it asked to be called no earlier
    turn_at: float = 0.0  # when the last call goes out of those that wait for it

    def state(self, now: float) -> str:
        """closed, open, or half-open: a call may find out."""
        if not self.open_until:
            return "closed"
        return "open" if now < self.open_until else "half-open"

    def wait_seconds(self, now: float) -> float:
        """How long calls are refused yet; 0: one may go out now."""
        return max(0.0, self.open_until - now, self.probe_until - now)


def begin_call(breaker: Breaker, now: float, policy: BreakerPolicy) -> tuple[Breaker, bool]:
    """Whether a call may go out; where it is the one that finds out, others wait for it."""
    if not breaker.open_until:
        return breaker, True
    if breaker.wait_seconds(now):
        return breaker, False
    return replace(breaker, probe_until=now + policy.probe_seconds), True


def end_call(breaker: Breaker, failure: str, now: float, policy: BreakerPolicy) -> Breaker:
    """What is known after a call.

    Args:
        breaker: before.
        failure: why it failed; empty: it went well.
        now: of the end.
        policy: when it opens.
    """
    if not failure:
        if breaker.open_until:
            return Breaker((True,), busy_until=breaker.busy_until, turn_at=breaker.turn_at)
        return replace(breaker, outcomes=(*breaker.outcomes, True)[-policy.calls :])
    outcomes = (*breaker.outcomes, False)[-policy.calls :]
    breaker = replace(breaker, outcomes=outcomes, reason=failure)
    probed = bool(breaker.open_until) and now >= breaker.open_until
    enough = len(outcomes) >= policy.least_calls and outcomes.count(False) >= policy.failed_share * len(outcomes)
    if not (probed or (enough and not breaker.open_until)):
        return breaker
    pause = min(policy.pause_seconds * 2.0**breaker.openings, policy.longest_pause_seconds)
    return replace(breaker, open_until=now + pause, probe_until=0.0, openings=breaker.openings + 1)


def forget_call(breaker: Breaker) -> Breaker:
    """What is known after a call that was given up before it said anything: a probe is free again."""
    return replace(breaker, probe_until=0.0)


def busy_call(breaker: Breaker, reason: str, seconds: float, now: float, policy: BreakerPolicy) -> Breaker:
    """What is known after a call that was told to come back later.

    All that are told so at about the same time count as one failure, so that only a provider opens that takes nothing
    any more.

    Args:
        breaker: before.
        reason: what it said.
        seconds: that it wants to rest.
        now: of the end.
        policy: when it opens.
    """
    told_before = now < breaker.busy_until
    breaker = forget_call(breaker) if told_before else end_call(breaker, reason, now, policy)
    until = now + min(seconds, policy.longest_busy_seconds)
    return replace(breaker, busy_until=max(breaker.busy_until, until))


def take_turn(breaker: Breaker, now: float, policy: BreakerPolicy) -> tuple[Breaker, float]:
    """When a call may go out, in seconds from now; while a provider is busy, and shortly after, each has its turn."""
    if now >= breaker.busy_until + policy.turns_seconds:
        return breaker, 0.0
    turn_at = max(now, breaker.busy_until, breaker.turn_at + policy.turn_seconds)
    return replace(breaker, turn_at=turn_at), turn_at - now


def summarize(hosts: Sequence[Breaker]) -> Breaker:
    """What is known of a provider that chooses between hosts: it is open while all of them are."""
    if not hosts or not all(host.open_until for host in hosts):
        return Breaker()
    first = min(hosts, key=lambda host: host.open_until)
    return replace(first, outcomes=(), busy_until=0.0, turn_at=0.0)


def host_key(provider: str, host: str) -> str:
    """Under which name the breaker of one host of a provider is kept."""
    return f"{provider}@{host}"


def from_document(facts: Mapping[str, object]) -> Breaker:
    """A breaker from its fields as JSON has them; those of other versions are left out. Raises TypeError, KeyError."""
    known = {name: facts[name] for name in Breaker.__slots__ if name in facts}
    return Breaker(**known | {"outcomes": tuple(facts["outcomes"])})  # type: ignore[arg-type]  # checked by nobody
