"""What stands on the hosts of a deployed cluster: accounts, units, files that hold secrets, and the TLS they speak."""

from __future__ import annotations

import pytest
from support.deployed import exposure
from support.lab import Lab

pytestmark = pytest.mark.cluster

_UNITS = (
    ("m2", "v2t-minio@1", "v2t-minio"),
    ("m2", "v2t-minio@2", "v2t-minio"),
    ("m2", "v2t-minio@3", "v2t-minio"),
    ("m2", "v2t-temporal", "v2t-temporal"),
    ("m2", "v2t-temporal-ui", "v2t-temporal"),
    ("m4-1", "v2t-worker@1", "v2t"),
    ("m4-2", "v2t-worker@1", "v2t"),
)
"""Host, unit, and the account that it runs as."""

_SECRET_FILES = (
    ("m2", "/etc/v2t/temporal/database.env", "v2t-temporal"),
    ("m2", "/etc/v2t/tls/temporal.key", "v2t-temporal"),
    ("m2", "/etc/v2t/minio/minio.env", "v2t-minio"),
    ("m2", "/etc/v2t/tls/minio.key", "v2t-minio"),
    ("m4-1", "/etc/v2t/secrets/storage", "v2t"),
    ("m4-1", "/etc/v2t/secrets/database-url", "v2t"),
    ("m4-1", "/etc/v2t/secrets/redis-url", "v2t"),
    ("m4-1", "/etc/v2t/tls/v2t.key", "v2t"),
)
"""Host, file, and the group that may read it."""

_TLS = (
    ("postgresql", 5432, ("tls1_1", "tls1_2")),
    ("redis", 6379, ("tls1_1", "tls1_2")),
    ("temporal", 7233, ("tls1_1",)),
    ("minio", 9000, ("tls1_1",)),
)
"""Service, port on m2, and the versions that it refuses; Temporal and MinIO cannot be told to refuse 1.2."""


@pytest.mark.parametrize(("host", "account"), sorted({(host, account) for host, _, account in _UNITS}))
def test_nobody_can_log_in_as_a_service(cluster: Lab, host: str, account: str) -> None:
    user = cluster.host(host).facts.user(account)
    assert user.shell == "/usr/sbin/nologin"
    assert user.password.startswith("!")
    assert user.groups == [account]


@pytest.mark.parametrize(("host", "unit", "account"), _UNITS)
def test_our_units_run_hardened_as_their_own_account_and_start_at_boot(
    cluster: Lab, host: str, unit: str, account: str
) -> None:
    machine = cluster.host(host)
    service = machine.facts.service(unit)
    assert service.is_running
    assert service.is_enabled
    assert service.systemd_properties["User"] == account
    assert exposure(machine, unit) < 3.0


@pytest.mark.parametrize(("host", "path", "group"), _SECRET_FILES)
def test_a_secret_is_read_by_its_services_group_alone(cluster: Lab, host: str, path: str, group: str) -> None:
    file = cluster.host(host).facts.file(path)
    assert (file.user, file.group, file.mode) == ("root", group, 0o640)


@pytest.mark.parametrize(("service", "port", "refused"), _TLS)
def test_old_versions_of_tls_are_refused(cluster: Lab, service: str, port: int, refused: tuple[str, ...]) -> None:
    """What this machine's own OpenSSL would not speak is allowed to it, so that the service says no."""
    facts = cluster.host("m4-1").facts
    begin = "-starttls postgres" if service == "postgresql" else ""
    ask = f"timeout 5 openssl s_client -connect m2:{port} {begin} -CAfile /etc/v2t/ca.crt -cipher ALL:@SECLEVEL=0"
    assert "Verification: OK" in facts.run(f"{ask} -tls1_3 </dev/null").stdout
    for version in refused:
        assert "alert protocol version" in facts.run(f"{ask} -{version} </dev/null").stderr, version
