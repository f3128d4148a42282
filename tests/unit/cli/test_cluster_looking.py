"""The commands that look at hosts and reach them, on hosts that are this machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from v2t.cli import cluster_doctor, cluster_logs, cluster_options, cluster_plan, cluster_ssh, cluster_status
from v2t.cluster import hosts, inventory, status
from v2t.cluster.hosts import Answer, Host
from v2t.cluster.inventory import Inventory
from v2t.cluster.playbook import Ended
from v2t.cluster.progress import Failure, Outcome
from v2t.cluster.status import HostState, ProgramState, UnitState
from v2t.domain.errors import HostUnreachable

_HOSTS = [Host("m2", ("v2t", "temporal"), is_local=True), Host("m4-1", ("v2t", "workers"), is_local=True)]
_ANSWERS = {
    "answers": [
        line.split()
        for line in "distribution debian\nrelease 12\nmachine x86_64\nmemory_mib 2048\ncores 2\nflags avx2".splitlines()
    ],
    "ports": [],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an inventory of two hosts, which no Ansible reads."""
    (tmp_path / "hosts.yml").write_text("v2t:\n")
    monkeypatch.setenv("V2T_INVENTORY", str(tmp_path))
    monkeypatch.setattr(hosts, "read_hosts", lambda _folder, _password: _HOSTS)
    monkeypatch.setattr(inventory, "read_inventory", lambda _folder, _password: Inventory(tmp_path, {}, {}))
    return tmp_path


def _run(module: object, *arguments: str) -> Result:
    return CliRunner().invoke(getattr(module, "command"), arguments)  # noqa: B009 - of several modules


def _end_with(monkeypatch: pytest.MonkeyPatch, module: object, ended: Ended, outcomes: Sequence[Outcome] = ()) -> None:
    def run(*_arguments: object, watch: Callable[[Sequence[Outcome]], object] = lambda _: 0, **_more: object) -> Ended:
        watch(outcomes)
        return ended

    monkeypatch.setattr(module, "run", run)


def test_a_command_runs_on_all_hosts_and_the_highest_exit_code_is_its_own() -> None:
    outcome = CliRunner().invoke(cluster_ssh.execute, ["--", "echo on; exit 7"])

    assert outcome.exit_code == 7
    assert sorted(outcome.stdout.splitlines()) == ["m2   | on", "m4-1 | on"]
    assert outcome.stderr.splitlines() == ["v2t: m2: the command ended with 7", "v2t: m4-1: the command ended with 7"]


def test_one_host_has_no_name_before_its_lines_and_words_stay_words() -> None:
    outcome = CliRunner().invoke(cluster_ssh.execute, ["--hosts", "workers", "echo", "-n", "a  b", "$HOME"])

    assert (outcome.exit_code, outcome.stdout) == (0, "a  b $HOME\n")


def test_what_hosts_said_is_in_the_json() -> None:
    outcome = CliRunner().invoke(cluster_ssh.execute, ["--json", "--hosts", "m2", "echo out; echo err >&2"])

    assert json.loads(outcome.stdout)["data"] == {
        "hosts": {"m2": {"exit_code": 0, "stdout": "out\n", "stderr": "err\n"}}
    }


def test_ssh_becomes_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _program, command: became.append(command))

    CliRunner().invoke(cluster_ssh.ssh, ["m2", "ls", "-l", "a b"])
    CliRunner().invoke(cluster_ssh.ssh, ["m2", "--", "df | tail"])

    assert became == [["sh", "-c", "ls -l 'a b'"], ["sh", "-c", "df | tail"]]


def test_a_host_that_is_not_there_is_a_usage_error() -> None:
    refused = CliRunner().invoke(cluster_ssh.execute, ["--hosts", "m9", "true"])
    unknown = CliRunner().invoke(cluster_ssh.ssh, ["m9"])

    assert (refused.exit_code, unknown.exception.__class__.__name__) == (2, "UsageError")
    assert "no host or group 'm9'" in refused.stderr


def test_logs_are_merged_and_a_lost_host_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "2026-11-26T19:00:0{}.000000+0000 v2t[1]: {}"
    answers = [Answer("m2", 0, line.format(2, "late")), Answer("m4-1", 255, line.format(1, "early"), "ssh: lost")]
    monkeypatch.setattr(hosts, "ask_all", lambda _hosts, _command: answers)

    outcome = _run(cluster_logs, "ssh")

    assert outcome.exit_code == 5
    assert [row.split()[-1] for row in outcome.stdout.splitlines()] == ["early", "late"]
    assert outcome.stderr == "v2t: m4-1: ssh: lost; `v2t cluster doctor` looks at every host\n"


def test_logs_are_asked_of_the_hosts_that_have_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], str]] = []

    def ask_all(chosen: Sequence[Host], command: str) -> list[Answer]:
        asked.append(([host.name for host in chosen], command))
        return [Answer(host.name, 0) for host in chosen]

    monkeypatch.setattr(hosts, "ask_all", ask_all)

    outcome = _run(cluster_logs, "worker", "--since", "1 hour ago")

    assert asked[0][0] == ["m4-1"]
    assert asked[0][1].endswith("'--unit=v2t-worker@*.service' --lines=all '--since=1 hour ago'")
    assert "there is no line of v2t-worker@*.service on m4-1" in outcome.stderr


def test_following_ends_with_the_operator_and_has_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> list[Answer]:
        raise KeyboardInterrupt

    monkeypatch.setattr(hosts, "stream", interrupt)

    assert _run(cluster_logs, "worker", "-f").exit_code == 0
    assert _run(cluster_logs, "worker", "-f", "--json").exit_code == 2


def test_following_that_ends_by_itself_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "stream", lambda *_arguments: [Answer("m2", 0), Answer("m4-1", 255, stderr="lost")])

    outcome = _run(cluster_logs, "ssh", "-f")

    assert outcome.exit_code == 5
    assert outcome.stderr.splitlines()[1] == "v2t: m2: journalctl has stopped following"


def _state(**changes: object) -> HostState:
    state = HostState(
        "m4-1",
        (UnitState("v2t-worker@1", "active", "running", 3700.0, 2),),
        "0.1.0",
        (ProgramState("minio", "v1", "v1"),),
        {"worker": 300.4},
        {"/": (100 << 30, 50 << 30)},
        0.5,
        2,
        8 << 30,
        4 << 30,
    )
    return replace(state, **changes)  # type: ignore[arg-type]


def test_status_is_two_tables_and_a_line_for_each_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = [HostUnreachable("m2: lost")]
    failed = _state(units=(UnitState("v2t-worker@1", "failed", "failed"),), programs=(ProgramState("minio", "1", "2"),))
    monkeypatch.setattr(status, "look", lambda *_arguments: ([_state()], []))
    well = _run(cluster_status)
    monkeypatch.setattr(status, "look", lambda *_arguments: ([failed], []))
    ill = _run(cluster_status)
    monkeypatch.setattr(status, "look", lambda *_arguments: ([failed], lost))
    cut = _run(cluster_status, "--json")

    assert well.exit_code == 0
    assert well.stdout.splitlines() == [
        "HOST  UNIT          STATE   SINCE      RESTARTS",
        "m4-1  v2t-worker@1  active  1 h 1 min  2",
        "",
        "HOST  V2T    PROGRAMS   CERTIFICATES  DISK FREE GIB  MEMORY FREE GIB  LOAD",
        "m4-1  0.1.0  as locked  300 days      / 50/100       4.0/8.0          0.5 on 2",
    ]
    assert ill.exit_code == 1
    assert "minio not as locked" in ill.stdout
    assert len(ill.stderr.splitlines()) == 2
    assert cut.exit_code == 5
    assert [error["code"] for error in json.loads(cut.stdout)["errors"]] == [
        "HostUnreachable",
        "ClusterUnhealthy",
        "ClusterUnhealthy",
    ]


def test_status_is_looked_at_again_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(status, "look", lambda *_arguments: ([_state()], []))
    monkeypatch.setattr(time, "sleep", sleep)

    outcome = _run(cluster_status, "--watch", "3")

    assert (outcome.exit_code, looks) == (0, [3.0, 3.0])
    assert outcome.stdout.count("v2t-worker@1") >= 2


def test_a_doctor_has_a_line_a_finding_and_reachability_decides_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"m4-1": {**_ANSWERS, "findings": ["memory m4-1: has too little; give it more."]}}
    lost = [Failure("m2", "Look", "Connection timed out", unreachable=True)]
    _end_with(monkeypatch, cluster_doctor, Ended(0, Path("/log"), 1.0, {}, [], told=told))
    ill = _run(cluster_doctor)
    _end_with(monkeypatch, cluster_doctor, Ended(4, Path("/log"), 1.0, {}, lost, told=told))
    cut = _run(cluster_doctor, "--json")
    _end_with(monkeypatch, cluster_doctor, Ended(4, Path("/log"), 1.0, {}, [], "no hosts matched"))
    none = _run(cluster_doctor, "--limit", "m9")

    assert ill.exit_code == 1
    assert ill.stdout.splitlines()[3] == "m4-1  memory     failed  has too little; give it more."
    assert ill.stderr == "v2t: m4-1: has too little; give it more.\n"
    assert cut.exit_code == 5
    assert json.loads(cut.stdout)["data"]["hosts"]["m2"][0]["subject"] == "ssh"
    assert (none.exit_code, none.stderr) == (1, "v2t: Ansible could not look at the hosts: no hosts matched\n")


def test_a_plan_is_a_table_with_the_risk_of_each_task(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    outcomes = [
        Outcome("m2", "redis : Write the account", "changed", {}),
        Outcome("m2", "redis : Restart Redis", "skipped", {}),
    ]
    monkeypatch.setattr(cluster_options, "open_inventory", lambda *_arguments: (Inventory(folder, {}, {}), None, []))
    _end_with(monkeypatch, cluster_plan, Ended(0, Path("/log"), 1.0, {}, []), outcomes)
    some = _run(cluster_plan)
    _end_with(monkeypatch, cluster_plan, Ended(0, Path("/log"), 1.0, {}, []))
    nothing = _run(cluster_plan)

    assert some.exit_code == 0
    assert some.stdout.splitlines() == [
        "HOST  ROLE   TASK               RISK     WHAT HAPPENS",
        "m2    redis  Write the account  restart  the cache is away for a moment",
        "",
        "1 task would change something on 1 host: 1 restart.",
        "m2: Restart Redis: the cache is away for a moment.",
        "The log, with all that was looked at, is /log",
    ]
    assert nothing.stdout.splitlines()[0] == "Nothing would change."
