"""The commands that look at a cluster and reach its hosts; what they stop or cut, they put back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.lab import Lab
from support.operator import Operator
from support.processes import wait_for

pytestmark = pytest.mark.cluster

_WORKER = "v2t-worker@1"
_SECONDS = 900


def _start(operator: Operator, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "v2t", "cluster", *arguments],
        env={**os.environ, "V2T_INVENTORY": str(operator.inventory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(operator: Operator, *arguments: str) -> tuple[int, str, str]:
    with _start(operator, *arguments) as process:
        out, err = process.communicate(timeout=_SECONDS)
    return process.returncode, out, err


def _ask(operator: Operator, command: str) -> dict[str, Any]:
    _, out, err = _run(operator, command, "--json")
    assert out, err
    said: dict[str, Any] = json.loads(out)
    return said


def _units(said: dict[str, Any]) -> dict[str, str]:
    hosts = said["data"]["hosts"]
    return {f"{host} {unit['name']}": unit["state"] for host in hosts for unit in hosts[host]["units"]}


@contextmanager
def _cut(lab: Lab, host: str) -> Iterator[None]:
    lab.cut(host)
    try:
        yield
    finally:
        lab.join(host)
        wait_for(lambda: lab.host(host).run("true").code == 0, f"{host} answers again", 60)


def test_a_doctor_finds_every_host_of_a_deployed_cluster_well(cluster: Lab, operator: Operator) -> None:
    said = _ask(operator, "doctor")

    assert said["exit_code"] == 0, said["errors"]
    assert set(said["data"]["hosts"]) == {"m2", "m4-1", "m4-2"}
    for host in said["data"]["hosts"]:
        found = {finding["subject"]: finding["text"] for finding in said["data"]["hosts"][host]}
        assert found["names"] == "the other hosts are known by name"
        assert "MTU 1500" in found["network"]


def test_a_doctor_names_what_has_taken_a_port_and_which_step_is_next(cluster: Lab, operator: Operator) -> None:
    host = cluster.host("m4-1")
    host.read(f"systemctl stop {_WORKER}")
    host.read("systemd-run --quiet --unit=squatter python3 -m http.server 8081")
    try:
        wait_for(lambda: host.run("ss -Hltn sport = :8081").output != "", "the port is taken", 20)
        said = _ask(operator, "doctor")
    finally:
        host.read(f"systemctl stop squatter; systemctl start {_WORKER}")

    assert said["exit_code"] == 1
    assert said["errors"][0]["code"] == "ClusterUnhealthy"
    assert "m4-1: port 8081 is held by python3 (squatter.service)" in said["errors"][0]["message"]


def test_status_shows_all_units_active_and_every_program_as_locked(cluster: Lab, operator: Operator) -> None:
    said = _ask(operator, "status")

    assert said["exit_code"] == 0, said["errors"]
    units = _units(said)
    assert set(units.values()) == {"active"}
    assert {"m2 v2t-temporal", "m2 v2t-minio@3", "m2 redis-server", f"m4-1 {_WORKER}", f"m4-2 {_WORKER}"} <= set(units)
    hosts = said["data"]["hosts"]
    assert {program["name"] for program in hosts["m2"]["programs"]} >= {"temporal", "minio"}
    for program in hosts["m2"]["programs"]:
        assert program["version"] == program["locked"]
    assert hosts["m4-1"]["release"] == hosts["m4-2"]["release"] != ""
    assert hosts["m4-1"]["certificates"]["v2t"] > 300
    assert not [secret for secret in operator.secrets() if secret in json.dumps(said)]


def test_status_names_a_worker_that_was_stopped(cluster: Lab, operator: Operator) -> None:
    host = cluster.host("m4-1")
    host.read(f"systemctl stop {_WORKER}")
    try:
        said = _ask(operator, "status")
    finally:
        host.read(f"systemctl start {_WORKER}")

    assert said["exit_code"] == 1
    assert _units(said)[f"m4-1 {_WORKER}"] == "inactive"
    assert [error["message"] for error in said["errors"]] == [
        f"m4-1: {_WORKER} is inactive; `v2t cluster logs {_WORKER} --host m4-1`"
    ]


def test_a_plan_of_what_is_deployed_has_nothing_to_change(cluster: Lab, operator: Operator) -> None:
    """Of one host: `deploy --check` and the test that follows look at all."""
    code, out, err = _run(operator, "plan", "--limit", "m4-1")

    assert code == 0, err
    assert out.splitlines()[0] == "Nothing would change."


def test_a_plan_names_the_workers_that_a_setting_would_restart(cluster: Lab, operator: Operator) -> None:
    settings = operator.inventory / "group_vars" / "workers.yml"
    before = settings.read_text() if settings.exists() else None
    settings.write_text((before or "") + "\nworker_drain_seconds: 77\n")
    try:
        said = _ask(operator, "plan")
    finally:
        if before is None:
            settings.unlink()
        else:
            settings.write_text(before)

    assert said["exit_code"] == 0, said["errors"]
    changes = said["data"]["changes"]
    of_workers = [change for change in changes if change["role"] == "worker"]
    assert {change["host"] for change in of_workers} == {"m4-1", "m4-2"}
    assert {change["risk"] for change in of_workers} == {"restart"}
    assert {change["role"] for change in changes} <= {"worker", "backup"}  # which keeps a copy of the inventory
    assert {restart["handler"] for restart in said["data"]["restarts"]} == {"Restart the workers"}
    assert "worker by worker" in of_workers[0]["effect"]


def test_logs_of_all_workers_come_in_one_order_with_the_host_before_each_line(cluster: Lab, operator: Operator) -> None:
    code, out, err = _run(operator, "logs", "worker", "--lines", "20")

    assert code == 0, err
    lines = out.splitlines()
    assert {line.split()[0] for line in lines} == {"m4-1", "m4-2"}
    # To the second: a journal itself has lines of the same moment in another order than their stamps.
    stamps = [line.split()[2][:19] for line in lines if line.split()[2].startswith("20")]
    assert stamps == sorted(stamps)
    assert len(stamps) > 2


def test_logs_are_followed_until_they_are_interrupted(cluster: Lab, operator: Operator) -> None:
    host = cluster.host("m4-1")

    def is_followed() -> bool:
        return "--follow" in host.run("ps axww -o args | grep [j]ournalctl").output

    with _start(operator, "logs", "ssh.service", "--host", "m4-1", "--follow", "--lines", "0") as process:
        assert process.stdout
        wait_for(lambda: process.poll() is not None or is_followed(), "it follows", 60)
        assert process.poll() is None, process.stdout.read()
        host.run("true")  # the login is a line of sshd
        assert "sshd" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    wait_for(lambda: not is_followed(), "it has ended there as well", 30)


def test_a_command_runs_on_a_group_and_the_worst_exit_code_counts(cluster: Lab, operator: Operator) -> None:
    command = "hostname; [ $(hostname) = m4-2 ] && exit 7; exit 3"
    code, out, err = _run(operator, "exec", "--hosts", "workers", "--", command)

    assert code == 7
    assert sorted(out.splitlines()) == ["m4-1 | m4-1", "m4-2 | m4-2"]
    assert err.splitlines() == ["v2t: m4-2: the command ended with 7", "v2t: m4-1: the command ended with 3"]


def test_ssh_runs_words_as_they_are_and_gives_the_exit_code(cluster: Lab, operator: Operator) -> None:
    assert _run(operator, "ssh", "m4-1", "echo", "a  b;", "$HOME")[:2] == (0, "a  b; $HOME\n")
    assert _run(operator, "ssh", "m2", "hostname; exit 9")[:2] == (9, "m2\n")


def test_a_host_that_is_cut_off_is_named_by_all_and_the_others_answer(cluster: Lab, operator: Operator) -> None:
    with _cut(cluster, "m4-2"):
        doctor = _ask(operator, "doctor")
        status = _ask(operator, "status")
        ran = _run(operator, "exec", "--", "hostname")
        logs = _run(operator, "logs", "worker", "--lines", "5")

    for said in (doctor, status):
        assert said["exit_code"] == 5
        assert said["errors"][0]["code"] == "HostUnreachable"
        assert said["errors"][0]["message"].startswith("m4-2: ")
    seen = {finding["subject"]: finding["text"] for finding in doctor["data"]["hosts"]["m2"]}
    assert seen["system"].startswith("debian 12")
    texts = [finding["text"] for finding in doctor["data"]["hosts"]["m2"]]
    assert any(text.startswith("does not reach m4-2") for text in texts)
    assert _units(status)[f"m4-1 {_WORKER}"] == "active"
    assert (ran[0], logs[0]) == (5, 5)
    assert {"m2   | m2", "m4-1 | m4-1"} <= set(ran[1].splitlines())
    assert "v2t: m4-2: " in logs[2]
