"""What the hosts let in, asked from the other hosts and from one that is not of the cluster."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.deployed import exposure
from support.lab import Lab
from support.operator import Operator

pytestmark = pytest.mark.cluster

_UNIT = "v2t-firewall"
_STRANGER = "m4-3"
"""Not of the cluster, and in the same network."""

_ASK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def ask(target):
    try:
        socket.create_connection(target, 4).close()
    except TimeoutError:
        return "dropped"
    except ConnectionRefusedError:
        return "refused"
    return "open"

targets = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps(list(pool.map(ask, map(tuple, targets)))))
"""


@dataclass(frozen=True)
class Port:
    """A row of the table in docs/cluster-layout.md, and who of those that ask is let in."""

    service: str
    host: str
    number: int
    let_in: frozenset[str] = frozenset()


_EVERYBODY = frozenset({"m2", "m4-1", _STRANGER})
_WORKERS = frozenset({"m4-1"})
_CONTROL = frozenset({"m2"})
_TABLE = (
    Port("SSH", "m2", 22, _EVERYBODY),
    Port("SSH", "m4-1", 22, _EVERYBODY),
    Port("PostgreSQL", "m2", 5432, _WORKERS),
    Port("Redis", "m2", 6379, _WORKERS),
    Port("Temporal", "m2", 7233, _WORKERS),
    Port("Temporal's services", "m2", 7234),
    Port("Temporal's membership", "m2", 6933),
    Port("a node of MinIO", "m2", 9011),
    Port("MinIO", "m2", 9000, _WORKERS),
    Port("gateway", "m2", 443),
    Port("Temporal's web interface", "m2", 8233),
    Port("Temporal's metrics", "m2", 8234),
    Port("Prometheus", "m2", 9090),
    Port("Grafana", "m2", 3000),
    Port("node exporter", "m2", 9100),
    Port("node exporter", "m4-1", 9100, _CONTROL),
    Port("a worker", "m4-1", 8081, _CONTROL),
)
_QUESTIONS = [(who, port) for port in _TABLE for who in sorted(_EVERYBODY) if who != port.host]


@pytest.fixture(scope="module")
def answers(cluster: Lab) -> dict[tuple[str, Port], str]:
    """What everybody found at every port but its own."""
    found: dict[tuple[str, Port], str] = {}
    for who in sorted(_EVERYBODY):
        asked = [question for question in _QUESTIONS if question[0] == who]
        targets = [(cluster.host(port.host).address, port.number) for _, port in asked]
        said = cluster.host(who).read(f"python3 -c {shlex.quote(_ASK)} {shlex.quote(json.dumps(targets))}")
        found.update(zip(asked, json.loads(said), strict=True))
    return found


@pytest.mark.parametrize(
    ("who", "port"), _QUESTIONS, ids=[f"{who}-{port.host}-{port.number}" for who, port in _QUESTIONS]
)
def test_a_port_is_open_to_whom_the_table_says(answers: dict[tuple[str, Port], str], who: str, port: Port) -> None:
    """Where it is closed nothing is answered, though behind most of these ports a service listens."""
    assert answers[who, port] == ("open" if who in port.let_in else "dropped"), port.service


@pytest.mark.parametrize("host", ["m2", "m4-1"])
def test_the_rules_are_there_after_a_boot_by_a_hardened_unit(cluster: Lab, host: str) -> None:
    machine = cluster.host(host)
    assert machine.read(f"systemctl is-enabled {_UNIT}") == "enabled"
    assert exposure(machine, _UNIT) < 3.0


@pytest.fixture
def other_table(cluster: Lab) -> Iterator[str]:
    """Rules that are not v2t's."""
    host = cluster.host("m4-1")
    host.read("nft add table inet other")
    yield "table inet other"
    host.read("nft delete table inet other")


def test_new_rules_leave_other_tables_and_the_session_alone(cluster: Lab, other_table: str) -> None:
    said = cluster.host("m4-1").read(f"systemctl reload {_UNIT} && nft list tables")
    assert set(said.splitlines()) == {"table inet v2t", other_table}


def test_a_deployment_brings_back_rules_that_somebody_took_away(cluster: Lab, operator: Operator) -> None:
    host = cluster.host("m4-1")
    host.read("nft flush ruleset")
    operator.deploy("--tags", "firewall", "--limit", "m4-1")
    assert "policy drop" in host.read("nft list table inet v2t")


def test_whoever_would_be_locked_out_is_refused_before_anything_changes(cluster: Lab, operator: Operator) -> None:
    before = cluster.host("m4-1").read("nft list table inet v2t")
    settings = operator.inventory / "host_vars" / "m4-1.yml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text("firewall_administrators: [192.0.2.0/24]\n")
    try:
        said = operator.run(
            "deploy", "--inventory", str(operator.inventory), "--yes", "--tags", "firewall", "--limit", "m4-1"
        )
    finally:
        settings.unlink()
    assert said["exit_code"] == 1
    assert "would lock you out" in said["errors"][0]["message"]
    assert cluster.host("m4-1").read("nft list table inet v2t") == before
