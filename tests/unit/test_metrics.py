from __future__ import annotations

from prometheus_client import REGISTRY

from v2t.domain.breaker import Breaker, BreakerPolicy, end_call
from v2t.metrics import observe_call


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"provider": "distant", "host": "m4-9"} | labels)


def test_calls_openings_and_the_state_of_a_breaker_are_shown() -> None:
    before, now = Breaker(), 1e12  # far in the future, so that it stays open while the test looks
    observe_call("distant", "m4-9", "ok", before, before)
    assert sample("v2t_provider_breaker_state") == 0
    assert sample("v2t_provider_breaker_openings_total") == 0
    for _ in range(5):
        after = end_call(before, "it is down", now, BreakerPolicy())
        observe_call("distant", "m4-9", "ProviderFailed", before, after)
        before = after
    assert sample("v2t_provider_calls_total", outcome="ok") == 1
    assert sample("v2t_provider_calls_total", outcome="ProviderFailed") == 5
    assert sample("v2t_provider_breaker_openings_total") == 1
    assert sample("v2t_provider_breaker_state") == 2
    observe_call("distant", "m4-9", "resting", before, Breaker(open_until=1.0, openings=1))
    assert sample("v2t_provider_breaker_state") == 1
