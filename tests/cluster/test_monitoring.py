"""What Prometheus knows of the cluster."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import quote

import pytest
from support.deployed import exposure
from support.lab import Lab
from support.processes import wait_for

pytestmark = pytest.mark.cluster

_ADDRESS = "https://m2:9090"
_HOSTS = {
    "prometheus": ["m2"],
    "node": ["m2", "m4-1", "m4-2"],
    "worker": ["m4-1", "m4-2"],
    "temporal": ["m2"],
    "minio-node": ["m2", "m2", "m2"],
    "minio": ["m2"],
}
"""Job → the hosts that it asks, once a service."""

_UNITS = [("m2", "prometheus"), ("m2", "prometheus-node-exporter"), ("m4-1", "prometheus-node-exporter")]
_SECONDS = 120


def ask(cluster: Lab, path: str) -> Any:
    """What Prometheus' API answers on its own host, the only one that may ask it."""
    command = f"curl --silent --fail --cacert /etc/v2t/ca.crt {shlex.quote(f'{_ADDRESS}/api/v1/{path}')}"
    return json.loads(cluster.host("m2").read(command))["data"]


def targets(cluster: Lab) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(cluster, "targets?state=active")["activeTargets"]
    return found


def hosts_with(cluster: Lab, query: str) -> set[str]:
    """The hosts for which an expression has a value."""
    return {series["metric"]["host"] for series in ask(cluster, f"query?query={quote(query)}")["result"]}


def test_prometheus_asks_every_service_of_every_host(cluster: Lab) -> None:
    found: dict[str, list[str]] = {}
    for target in targets(cluster):
        found.setdefault(target["labels"]["job"], []).append(target["labels"]["host"])
    assert {job: sorted(hosts) for job, hosts in found.items()} == _HOSTS


def test_all_of_them_answer(cluster: Lab) -> None:
    def none_is_down() -> bool:
        return all(target["health"] == "up" for target in targets(cluster))

    try:
        wait_for(none_is_down, "all targets are up", _SECONDS)
    finally:
        down = [(target["scrapeUrl"], target["lastError"]) for target in targets(cluster) if target["health"] != "up"]
        assert not down


@pytest.mark.parametrize(
    ("query", "hosts"),
    [
        ('v2t_cache_disk_bytes{job="worker"}', {"m4-1", "m4-2"}),
        ("node_memory_MemAvailable_bytes > 0", {"m2", "m4-1", "m4-2"}),
        ('node_filesystem_avail_bytes{mountpoint="/tmp"} > 0', {"m2", "m4-1", "m4-2"}),
        ("service_requests", {"m2"}),
        ("minio_cluster_nodes_online_total == 3", {"m2"}),
    ],
)
def test_measurements_arrive_with_the_name_of_their_host(cluster: Lab, query: str, hosts: set[str]) -> None:
    wait_for(lambda: hosts_with(cluster, query) == hosts, f"{query} has arrived", _SECONDS)


def test_prometheus_speaks_tls_only(cluster: Lab) -> None:
    plain = cluster.host("m2").run(f"curl --silent {_ADDRESS.replace('https', 'http')}/api/v1/targets")
    assert "HTTP request to an HTTPS server" in plain.output


@pytest.mark.parametrize(("host", "unit"), _UNITS)
def test_monitoring_runs_hardened_and_starts_at_boot(cluster: Lab, host: str, unit: str) -> None:
    machine = cluster.host(host)
    assert machine.read(f"systemctl is-active {unit}") == "active"
    assert machine.read(f"systemctl is-enabled {unit}") == "enabled"
    assert exposure(machine, unit) < 3.0


def test_settings_of_prometheus_are_its_own(cluster: Lab) -> None:
    facts = cluster.host("m2").read(
        "stat --format '%U:%G %a' /etc/v2t/prometheus/prometheus.yml /var/lib/v2t/prometheus"
    )
    assert facts.splitlines() == ["root:v2t-prometheus 640", "v2t-prometheus:v2t-prometheus 750"]
