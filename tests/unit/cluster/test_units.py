from __future__ import annotations

import pytest

from v2t.cluster.units import find_units, of_groups, service_of
from v2t.domain.errors import UsageError


@pytest.mark.parametrize(
    ("text", "pattern", "groups"),
    [
        ("worker", "v2t-worker@*.service", ("workers",)),
        ("temporal", "v2t-temporal.service", ("temporal",)),
        ("minio", "v2t-minio@*.service", ("minio",)),
        ("postgresql", "postgresql@*.service", ("postgresql",)),
        ("redis", "redis-server.service", ("redis",)),
        ("haproxy", "haproxy.service", ("loadbalancer",)),
        ("v2t-worker@2", "v2t-worker@2.service", ("workers",)),
        ("ssh.service", "ssh.service", ()),
        ("apt-daily.timer", "apt-daily.timer", ()),
    ],
)
def test_a_unit_is_found_by_what_an_operator_calls_it(text: str, pattern: str, groups: tuple[str, ...]) -> None:
    assert find_units(text) == (pattern, groups)


@pytest.mark.parametrize("text", ["", "a b", "$(id)", "x;y", "../x"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a unit"):
        find_units(text)


def test_a_host_runs_what_its_groups_run() -> None:
    called = [service.called for service in of_groups(["workers", "v2t"]) if service.is_required]

    assert called == ["worker"]
    assert (found := service_of("v2t-worker@1.service"))
    assert found.called == "worker"
    assert (other := service_of("v2t-backup"))
    assert other.called == "v2t"
    assert service_of("cron") is None
