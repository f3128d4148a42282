"""The cluster's certificates: how long they last, and that all are exchanged while the cluster works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.deployed import SAMPLE, make_clips, words
from support.lab import Lab
from support.operator import Operator
from support.processes import wait_for

pytestmark = pytest.mark.cluster

TEXT = words(SAMPLE.with_suffix(".txt").read_text())
_SERVED = {"postgresql": 5432, "redis": 6379, "temporal": 7233, "minio": 9000}
_READ_SECONDS = 90
"""Temporal looks for new certificates once a minute."""

_FILES = "find /etc/v2t/tls -name '*.crt' | sort"


def served(cluster: Lab, port: int) -> str:
    """The serial number of the certificate that a service shows."""
    protocol = "-starttls postgres" if port == _SERVED["postgresql"] else ""
    command = (
        f"echo | timeout 10 openssl s_client -connect m2:{port} {protocol} -CAfile /etc/v2t/ca.crt 2>/dev/null "
        "| openssl x509 -noout -serial"
    )
    return cluster.host("m4-1").read(command)


def rotate(operator: Operator, *options: str) -> subprocess.Popen[str]:
    return operator.begin("certs", "rotate", "--inventory", str(operator.inventory), "--yes", *options)


def ended(running: subprocess.Popen[str]) -> dict[str, dict[str, list[str]]]:
    stdout, stderr = running.communicate(timeout=1800)
    assert running.returncode == 0, stdout[-2000:] + stderr[-2000:]
    found: dict[str, dict[str, list[str]]] = json.loads(stdout)["data"]
    return found


def test_every_certificate_is_known_with_the_days_it_has_left(cluster: Lab, operator: Operator) -> None:
    said = operator.run("certs", "status", "--inventory", str(operator.inventory))

    assert said["exit_code"] == 0, said["errors"]
    shown = {(one["host"], Path(one["file"]).name): one for one in said["data"]["certificates"]}
    there = {
        (name, Path(file).name) for name in ("m2", "m4-1", "m4-2") for file in cluster.host(name).read(_FILES).split()
    }
    assert there | {("operator", "ca.crt"), ("operator", "client.crt")} <= set(shown)
    assert shown["m2", "minio.crt"]["days_left"] > 300
    assert cluster.host("m2").address in shown["m2", "minio.crt"]["names"]


def test_one_that_ends_soon_is_told(cluster: Lab, operator: Operator) -> None:
    settings = operator.inventory / "group_vars/redis.yml"
    settings.write_text("pki_renew_days: 500\n")
    try:
        said = operator.run("certs", "status", "--inventory", str(operator.inventory))
    finally:
        settings.unlink()

    assert said["exit_code"] == 1
    assert any(re.match(r"m2: \S+/redis\.crt ends in 39\d days", error["message"]) for error in said["errors"])


def test_all_are_exchanged_while_the_cluster_transcribes(cluster: Lab, operator: Operator, tmp_path: Path) -> None:
    before = {name: served(cluster, port) for name, port in _SERVED.items()}
    keys = {name: cluster.host(name).read("sha256sum /etc/v2t/tls/*.key") for name in ("m2", "m4-1", "m4-2")}
    environment = {**os.environ, "V2T_CONFIG": str(operator.inventory / "client/config.toml")}
    heard = 0

    running = rotate(operator)
    for clip in make_clips(tmp_path, 200, "certificates"):
        command = [sys.executable, "-m", "v2t", "transcribe", str(clip), "--language", "en", "--quiet"]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert said.returncode == 0, said.stderr
        assert words(said.stdout) == TEXT
        heard += 1
        if running.poll() is not None:
            break
    made = ended(running)["renewed"]

    assert heard > 1
    assert {*_SERVED, "v2t-client"} <= set(made["m2"])
    assert (made["m4-1"], made["m4-2"]) == (["v2t"], ["v2t"])

    def all_are_served() -> bool:
        return all(served(cluster, port) != before[name] for name, port in _SERVED.items())

    wait_for(all_are_served, "every service shows its new certificate", _READ_SECONDS)
    for name, old in keys.items():
        assert not set(old.splitlines()) & set(cluster.host(name).read("sha256sum /etc/v2t/tls/*.key").splitlines())


def test_one_of_one_host_is_exchanged_alone(cluster: Lab, operator: Operator) -> None:
    before = {name: cluster.host(name).read("sha256sum /etc/v2t/tls/v2t.key") for name in ("m4-1", "m4-2")}

    made = ended(rotate(operator, "--host", "m4-2", "--name", "v2t"))["renewed"]

    after = {name: cluster.host(name).read("sha256sum /etc/v2t/tls/v2t.key") for name in ("m4-1", "m4-2")}
    assert made == {"m4-2": ["v2t"]}
    assert [name for name in before if before[name] != after[name]] == ["m4-2"]


def test_a_deployment_after_a_rotation_changes_nothing(cluster: Lab, operator: Operator) -> None:
    said = operator.deploy()

    assert {host: facts["changed"] for host, facts in said["data"]["hosts"].items() if facts["changed"]} == {}
