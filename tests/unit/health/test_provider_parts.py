from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from v2t.config import Settings
from v2t.domain.breaker import BreakerPolicy, end_call
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import ProviderUnreachable
from v2t.health.provider_parts import look_at_provider
from v2t.health.report import Status
from v2t.providers.guard import Guard, HostAnswer
from v2t.storage.breakers import SharedBreakers

ANSWERS = (
    HostAnswer("m4-1", None, 0.25),
    HostAnswer("m4-2", ProviderUnreachable("m4-2 does not answer; see whether it runs"), 2.0),
    HostAnswer("m4-3", None, 0.5),
)


class WithHosts:
    """A provider that chooses between hosts, of which one is down."""

    capabilities = Capabilities()

    def guard_hosts(self, guard: Guard) -> None: ...

    async def survey(self, limit_seconds: float | None = None) -> Sequence[HostAnswer]:
        assert limit_seconds
        assert limit_seconds < 5
        return ANSWERS

    def sum_up(self, answers: Sequence[HostAnswer]) -> str:
        return f"{sum(not answer.error for answer in answers)} of {len(answers)} hosts answer"

    async def close(self) -> None: ...


async def test_each_host_has_a_line_with_its_own_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    breakers = SharedBreakers()
    for _ in range(5):
        breakers.change(
            "ssh_whisper@m4-3", lambda breaker: (end_call(breaker, "disk full", time.time(), BreakerPolicy()), True)
        )
    monkeypatch.setattr("v2t.wiring.open_provider", lambda *_: WithHosts())
    monkeypatch.setattr("v2t.wiring.open_breakers", lambda _: breakers)
    parts = await look_at_provider(Settings(), "ssh_whisper", 5.0)
    assert [(part.name, part.status, part.summary) for part in parts] == [
        ("provider ssh_whisper", Status.OK, "2 of 3 hosts answer"),
        ("provider ssh_whisper@m4-1", Status.OK, "answers"),
        ("provider ssh_whisper@m4-2", Status.FAILED, "m4-2 does not answer"),
        ("provider ssh_whisper@m4-3", Status.DEGRADED, "answers, but is left alone after failures: disk full"),
    ]
    assert not any(part.required for part in parts)
    assert parts[2].next_step == "see whether it runs"
