"""From bare hosts to a cluster that transcribes, by the operator's own command."""

from __future__ import annotations

import re

import pytest
from support.deployed import SAMPLE, V2T, place, transcribe, words
from support.lab import Lab
from support.operator import Operator

pytestmark = pytest.mark.cluster

_OUR_UNITS = {
    "m2": ("v2t-minio@1", "v2t-minio@2", "v2t-minio@3", "v2t-temporal", "v2t-temporal-ui"),
    "m4-1": ("v2t-worker@1",),
    "m4-2": ("v2t-worker@1",),
}


def changed_hosts(said: dict[str, object]) -> dict[str, int]:
    hosts = said["data"]["hosts"]  # type: ignore[index]
    return {name: facts["changed"] for name, facts in hosts.items()}


def test_a_deployed_cluster_can_transcribe(cluster: Lab) -> None:
    host = cluster.host("m4-1")
    health = host.run(f"{V2T} health")
    assert health.code == 0, health.output


def test_speech_is_heard_by_the_cluster(cluster: Lab) -> None:
    host = cluster.host("m4-1")
    place(host, [SAMPLE], "/var/tmp/sample")
    assert words(transcribe(host, "/var/tmp/sample/jfk.wav")) == words(SAMPLE.with_suffix(".txt").read_text())


def test_a_second_deployment_changes_nothing(cluster: Lab, operator: Operator) -> None:
    assert set(changed_hosts(operator.deploy()).values()) == {0}


def test_looking_at_a_deployed_cluster_finds_nothing_to_change(cluster: Lab, operator: Operator) -> None:
    assert set(changed_hosts(operator.deploy("--check")).values()) == {0}


@pytest.mark.parametrize(("host", "unit"), [(host, unit) for host, units in _OUR_UNITS.items() for unit in units])
def test_our_units_run_hardened_and_start_at_boot(cluster: Lab, host: str, unit: str) -> None:
    machine = cluster.host(host)
    assert machine.read(f"systemctl is-active {unit}") == "active"
    assert machine.read(f"systemctl is-enabled {unit}") == "enabled"
    exposure = machine.run(f"systemd-analyze security --no-pager {unit} | tail -1").output
    assert float(re.findall(r"[0-9]+\.[0-9]+", exposure)[0]) < 3.0, exposure


def test_no_secret_stands_in_a_unit_or_on_a_command_line(cluster: Lab, operator: Operator) -> None:
    for host in cluster.hosts.values():
        seen = host.read("systemctl cat 'v2t-*' --no-pager; ps axww -o args; cat /etc/v2t/config.toml || true")
        for secret in operator.secrets():
            assert secret not in seen


def test_postgresql_refuses_plain_text(cluster: Lab) -> None:
    ask = "import psycopg; psycopg.connect('host=m2 user=v2t dbname=v2t password=x sslmode=disable connect_timeout=5')"
    refused = cluster.host("m4-1").run(f'/opt/v2t/application/current/bin/python -c "{ask}" 2>&1')
    assert refused.code == 1
    assert "no encryption" in refused.output


def test_temporal_refuses_a_client_without_a_certificate(cluster: Lab) -> None:
    command = "sleep 2 | timeout 5 openssl s_client -connect m2:7233 -CAfile /etc/v2t/ca.crt -alpn h2 2>&1; true"
    assert "certificate required" in cluster.host("m4-1").run(command).output


def test_minio_refuses_those_it_does_not_know(cluster: Lab) -> None:
    command = "curl --silent --cacert /etc/v2t/ca.crt https://m2:9000/v2t-audio/"
    assert "AccessDenied" in cluster.host("m4-1").read(command)


def test_redis_refuses_plain_text_and_strangers(cluster: Lab) -> None:
    plain = cluster.host("m4-1").run("timeout 5 bash -c 'exec 3<>/dev/tcp/m2/6379; echo PING >&3; head -c 5 <&3'")
    assert "PONG" not in plain.output
    ask = "import redis; redis.Redis('m2', ssl=True, ssl_ca_certs='/etc/v2t/ca.crt').ping()"
    stranger = cluster.host("m4-1").run(f'/opt/v2t/application/current/bin/python -c "{ask}" 2>&1')
    assert stranger.code == 1
    assert "to authenticate the client" in stranger.output, stranger.output
