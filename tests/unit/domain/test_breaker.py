from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.breaker import (
    Breaker,
    BreakerPolicy,
    begin_call,
    busy_call,
    end_call,
    forget_call,
    from_document,
    summarize,
    take_turn,
)

POLICY = BreakerPolicy()
NOW = 1000.0


def after(*failures: str, breaker: Breaker | None = None, now: float = NOW) -> Breaker:
    breaker = breaker or Breaker()
    for failure in failures:
        breaker = end_call(breaker, failure, now, POLICY)
    return breaker


OPEN = after(*["it is down"] * 5)


def allowed(breaker: Breaker, now: float) -> bool:
    return begin_call(breaker, now, POLICY)[1]


def test_a_provider_that_is_well_may_be_called() -> None:
    assert allowed(Breaker(), NOW)
    assert after("", "", "x", "").state(NOW) == "closed"


def test_it_opens_when_half_of_the_last_calls_have_failed_and_not_on_a_few() -> None:
    assert after(*["x"] * 4).state(NOW) == "closed"
    assert after(*["x"] * 5).state(NOW) == "open"
    assert after("", "", "", "x", "x", "x").state(NOW) == "open"
    assert after(*[""] * 10, *["x"] * 4).state(NOW) == "closed"
    assert after(*[""] * 10, *["x"] * 5).state(NOW) == "open"


def test_while_it_is_open_nobody_may_call_and_everybody_knows_how_long_and_why() -> None:
    assert not allowed(OPEN, NOW + 29.9)
    assert OPEN.wait_seconds(NOW + 10) == 20
    assert OPEN.reason == "it is down"


def test_after_the_pause_one_call_finds_out_and_the_others_wait_for_it() -> None:
    assert OPEN.state(NOW + 30) == "half-open"
    probing, first = begin_call(OPEN, NOW + 30, POLICY)
    assert first
    assert not allowed(probing, NOW + 31)
    assert allowed(probing, NOW + 30 + POLICY.probe_seconds), "a probe that was lost"
    assert allowed(forget_call(probing), NOW + 31)


def test_a_probe_that_goes_well_closes_it_and_forgets_all() -> None:
    probing, _ = begin_call(OPEN, NOW + 30, POLICY)
    assert after("", breaker=probing, now=NOW + 31) == Breaker((True,))


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_limit() -> None:
    breaker, now, pauses = OPEN, NOW, []
    for _ in range(7):
        now = breaker.open_until
        breaker, first = begin_call(breaker, now, POLICY)
        assert first
        breaker = after("still down", breaker=breaker, now=now)
        pauses.append(breaker.open_until - now)
    assert pauses == [60, 120, 240, 480, 600, 600, 600]


def test_a_late_answer_from_before_it_opened_does_not_prolong_the_pause() -> None:
    assert after("late", breaker=OPEN, now=NOW + 5).open_until == OPEN.open_until


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 700)), max_size=60))
def test_it_never_refuses_for_ever(calls: list[tuple[bool, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for well, pause in calls:
        now += pause
        breaker, first = begin_call(breaker, now, POLICY)
        if first:
            breaker = end_call(breaker, "" if well else "x", now, POLICY)
        assert breaker.wait_seconds(now) <= POLICY.longest_pause_seconds
        assert len(breaker.outcomes) <= POLICY.calls
    assert allowed(breaker, now + POLICY.longest_pause_seconds)


def busy(breaker: Breaker, now: float, seconds: float = 10.0) -> Breaker:
    return busy_call(breaker, "slow down", seconds, now, POLICY)


def turns(breaker: Breaker, now: float, count: int) -> list[float]:
    found = []
    for _ in range(count):
        breaker, wait = take_turn(breaker, now, POLICY)
        found.append(round(wait, 3))
    return found


def test_while_it_is_busy_all_wait_and_then_go_out_one_after_the_other() -> None:
    told = busy(Breaker(), NOW)
    assert turns(told, NOW + 4, 3) == [6.0, 6.2, 6.4]
    assert turns(told, NOW + 11, 3) == [0.0, 0.2, 0.4]
    assert turns(told, NOW + 10 + POLICY.turns_seconds, 3) == [0.0, 0.0, 0.0]
    assert turns(Breaker(), NOW, 2) == [0.0, 0.0]


def test_those_that_are_told_at_the_same_time_to_come_back_count_as_one_failure() -> None:
    told = Breaker()
    for _ in range(16):
        told = busy(told, NOW)
    assert (told.outcomes, told.state(NOW)) == ((False,), "closed")
    assert told.busy_until == NOW + 10


def test_a_provider_that_is_always_busy_opens() -> None:
    told, now = Breaker(), NOW
    for _ in range(5):
        told, now = busy(told, now), now + 10
    assert told.state(now - 10) == "open"


def test_no_rest_is_longer_than_the_longest() -> None:
    assert busy(Breaker(), NOW, 86_400).busy_until == NOW + POLICY.longest_busy_seconds


def test_a_provider_with_hosts_is_open_while_all_of_them_are() -> None:
    other = after(*["no route"] * 5, now=NOW - 10)
    whole = summarize([OPEN, other])
    assert (whole.open_until, whole.reason, whole.outcomes) == (other.open_until, "no route", ())
    assert summarize([OPEN, Breaker((False,))]) == summarize([]) == Breaker()


def test_what_other_versions_know_besides_is_left_out() -> None:
    known = from_document({"outcomes": [True, False], "openings": 2, "colour": "red"})
    assert known == Breaker((True, False), openings=2)
