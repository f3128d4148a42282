"""What the commands run, ask and write; Ansible does not run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from v2t.cli import cluster_options
from v2t.cli.cluster import group
from v2t.cluster import playbook
from v2t.cluster.inventory import Inventory
from v2t.cluster.machines import Machine, render_hosts
from v2t.cluster.playbook import Ended, OnChange, PlaybookRun
from v2t.cluster.progress import Failure
from v2t.domain.errors import ClusterBusy

WORKERS = [Machine("m4-1", "10.0.0.41"), Machine("m4-2", "10.0.0.42")]
TOLD = "base_configure,firewall,postgresql_configure,ssh_whisper_configure,prometheus_configure"
HOSTS = render_hosts(Machine("m2", "10.0.0.2"), WORKERS, "root")


class Runs:
    """The playbooks that a command ran, as `name limit tags`, and what shall come of each."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.extra: list[str] = []
        self.failures: dict[int, Failure] = {}
        self.told: Mapping[str, Mapping[str, Any]] = {}
        self.busy = False

    def __call__(self, run: PlaybookRun, _on_change: OnChange) -> Ended:
        if self.busy:
            raise ClusterBusy("somebody changes it")
        flags = dict(flag.removeprefix("--").split("=", 1) for flag in run.command[2:-1] if "=" in flag)
        self.names.append(" ".join(filter(None, (run.operation, flags.get("limit"), flags.get("tags")))))
        self.extra.append(flags.get("extra-vars", ""))
        failure = self.failures.get(len(self.names))
        failures = [failure] if failure else []
        counts = {"ok": 3, "changed": 1, "failures": len(failures), "unreachable": 0, "skipped": 0}
        return Ended(2 if failures else 0, Path("/log"), 61.0, {"m2": counts}, failures, told=self.told)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an inventory whose hosts.yml is read anew by each command."""
    (tmp_path / "hosts.yml").write_text(HOSTS)

    def open_inventory(_named: object, _password: object) -> tuple[Inventory, None, list[Any]]:
        document = yaml.safe_load((tmp_path / "hosts.yml").read_text())["v2t"]
        workers = tuple(document["children"]["workers"]["hosts"] or ())
        whisper = tuple(document["children"].get("ssh_whisper", {}).get("hosts", ()))
        groups = {"workers": workers, "temporal": ("m2",), "minio": ("m2",), "ssh_whisper": whisper}
        variables = {host: {"v2t_name": "office", **(facts or {})} for host, facts in document["hosts"].items()}
        return Inventory(tmp_path, variables, groups), None, []

    monkeypatch.setattr(cluster_options, "open_inventory", open_inventory)
    return tmp_path


@pytest.fixture
def runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setattr(playbook, "run_playbook", runs)
    return runs


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(group, [*arguments])


def hosts_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "hosts.yml").read_text())["v2t"]["hosts"]
    return found


def test_a_new_host_is_looked_at_then_told_to_the_others_then_deployed(folder: Path, runs: Runs) -> None:
    said = invoke("node", "add", "m4-3=10.0.0.43", "--user", "operator", "--yes")

    assert said.exit_code == 0, said.output
    assert runs.names == [
        "site m4-3 preflight",
        f"site all:!m4-3 {TOLD}",
        "site m4-3",
    ]
    assert hosts_of(folder)["m4-3"] == {"ansible_host": "10.0.0.43", "ansible_user": "operator"}


def test_a_host_that_is_not_ready_is_not_added(folder: Path, runs: Runs) -> None:
    runs.failures = {1: Failure("m4-3", "Look", "no route", unreachable=True)}

    said = invoke("node", "add", "m4-3=10.0.0.43", "--yes")

    assert said.exit_code == 5
    assert "m4-3 was not added" in said.stderr
    assert (folder / "hosts.yml").read_text() == HOSTS
    assert len(runs.names) == 1


def test_a_host_that_failed_halfway_stays_and_is_gone_on_with(folder: Path, runs: Runs) -> None:
    runs.failures = {3: Failure("m4-3", "Install", "disk full")}

    assert invoke("node", "add", "m4-3=10.0.0.43", "--yes").exit_code == 1
    assert "m4-3" in hosts_of(folder)
    assert invoke("node", "add", "m4-3=10.0.0.43", "--yes").exit_code == 0


def test_a_server_is_no_new_worker(folder: Path, runs: Runs) -> None:
    said = invoke("node", "add", "m2=10.0.0.2", "--yes")

    assert said.exit_code == 2
    assert "m2 is not among the workers" in said.stderr
    assert runs.names == []


def test_a_drained_host_is_marked_so_until_it_is_undone(folder: Path, runs: Runs) -> None:
    runs.told = {"m4-2": {"worker_ended": ["v2t-worker@1.service"], "worker_end_seconds": 4.2}}

    said = invoke("node", "drain", "m4-2", "--yes")

    assert runs.names == ["site m4-2 worker_run", "site monitoring prometheus_configure"]
    assert hosts_of(folder)["m4-2"]["worker_drained"] is True
    assert "1 worker ended in 4.2 s" in said.stdout
    assert "m4-2 works again" in invoke("node", "drain", "m4-2", "--undo", "--yes").stdout
    assert (folder / "hosts.yml").read_text() == HOSTS


def test_who_drains_the_last_host_is_told_so(folder: Path, runs: Runs) -> None:
    assert "No other host works" not in invoke("node", "drain", "m4-1", "--yes").stdout
    assert "No other host works" in invoke("node", "drain", "m4-2", "--yes").stdout


def test_a_drain_while_another_operator_is_at_work_marks_nothing(folder: Path, runs: Runs) -> None:
    runs.busy = True

    assert invoke("node", "drain", "m4-2", "--yes").exit_code == ClusterBusy("").exit_code
    assert (folder / "hosts.yml").read_text() == HOSTS


def test_a_removed_host_is_cleaned_then_forgotten_by_the_others(folder: Path, runs: Runs) -> None:
    (folder / "host_vars").mkdir()
    (folder / "host_vars" / "m4-2.yml").write_text("worker_instances: 4\n")

    said = invoke("node", "remove", "m4-2", "--yes")

    assert runs.names == ["remove m4-2", f"site {TOLD}"]
    assert set(hosts_of(folder)) == {"m2", "m4-1"}
    assert "host_vars/m4-2.yml is left" in said.stdout


def test_the_workers_forget_a_removed_host_that_ran_whisper_for_them(folder: Path, runs: Runs) -> None:
    with (folder / "hosts.yml").open("a") as hosts:
        hosts.write("    ssh_whisper:\n      hosts:\n        m4-2:\n")

    assert invoke("node", "remove", "m4-2", "--yes").exit_code == 0

    assert runs.names[1:] == [f"site {TOLD},client,worker_configure"]


def test_a_dead_host_is_removed_by_force_only(folder: Path, runs: Runs) -> None:
    runs.failures = {1: Failure("m4-2", "Gathering Facts", "no route", unreachable=True)}

    said = invoke("node", "remove", "m4-2", "--yes")
    assert said.exit_code == 5
    assert "--force" in said.stderr
    assert "m4-2" in hosts_of(folder)

    runs.failures = {}
    assert invoke("node", "remove", "m4-2", "--force", "--yes").exit_code == 0
    assert runs.names[1:] == [f"site {TOLD}"]
    assert "m4-2" not in hosts_of(folder)


@pytest.mark.parametrize(("name", "why"), [("m2", "not among the workers"), ("m4-9", "not among the workers")])
def test_what_is_no_worker_is_not_removed(folder: Path, runs: Runs, name: str, why: str) -> None:
    said = invoke("node", "remove", name, "--yes")

    assert (said.exit_code, runs.names) == (2, [])
    assert why in said.stderr


def test_a_worker_that_carries_servers_is_not_removed(folder: Path, runs: Runs) -> None:
    (folder / "hosts.yml").write_text(HOSTS.replace("        m4-1:\n", "        m2:\n        m4-1:\n", 1))

    said = invoke("node", "remove", "m2", "--yes")

    assert said.exit_code == 2
    assert "m2 carries temporal, minio" in said.stderr


def test_the_only_worker_is_not_removed(folder: Path, runs: Runs) -> None:
    assert invoke("node", "remove", "m4-2", "--yes").exit_code == 0

    said = invoke("node", "remove", "m4-1", "--yes")
    assert said.exit_code == 2
    assert "the only worker" in said.stderr


def versions(release: str, *older: str) -> dict[str, Any]:
    return {
        "installed": {},
        "locked": {},
        "release": release,
        "locked_release": "c",
        "older_releases": list(older),
    }


def test_an_upgrade_says_from_what_to_what_and_a_check_changes_nothing(folder: Path, runs: Runs) -> None:
    runs.told = {"m4-1": versions("b"), "m4-2": versions("c")}

    said = invoke("upgrade", "--check")

    assert runs.names == ["versions"]
    assert [line.split() for line in said.stdout.splitlines()[1:]] == [["m4-1", "v2t", "b", "c"]]


def test_an_upgrade_takes_back_what_a_rollback_wrote(folder: Path, runs: Runs) -> None:
    runs.told = {"m4-1": versions("b", "a"), "m4-2": versions("b", "a")}

    assert invoke("rollback", "--yes").exit_code == 0
    assert runs.names == ["versions", "rollback m4-1,m4-2"]
    assert {facts.get("worker_release") for name, facts in hosts_of(folder).items() if name != "m2"} == {"a"}

    assert invoke("upgrade", "--yes").exit_code == 0
    assert runs.names[2:] == ["versions", "upgrade"]
    assert json.loads(runs.extra[2]) == {"worker_release": ""}
    assert (folder / "hosts.yml").read_text() == HOSTS


def test_an_upgrade_that_fails_says_how_to_go_on(folder: Path, runs: Runs) -> None:
    runs.told = {"m4-1": versions("b")}
    runs.failures = {2: Failure("m4-1", "Refuse to go on where it is not", "Temporal does not answer")}

    said = invoke("upgrade", "--yes")

    assert said.exit_code == 1
    assert "`v2t cluster upgrade` goes on where it ended" in said.stderr


def test_a_cluster_is_destroyed_only_by_its_name(folder: Path, runs: Runs) -> None:
    assert invoke("destroy").exit_code == 2
    wrong = invoke("destroy", "--yes-destroy", "home")
    assert (wrong.exit_code, runs.names) == (2, [])
    assert "this is the cluster office, not home" in wrong.stderr

    runs.told = {"m2": {"kept": ["/var/lib/v2t/minio"]}, "m4-1": {"kept": []}}
    said = invoke("destroy", "--yes-destroy", "office")
    assert "m2 keeps /var/lib/v2t/minio" in said.stdout
    assert json.loads(runs.extra[0]) == {"destroy_cluster": "office", "remove_data": False}


def test_data_are_deleted_only_where_that_is_said(folder: Path, runs: Runs) -> None:
    assert invoke("destroy", "--delete-data", "--yes-destroy", "office").exit_code == 0
    assert json.loads(runs.extra[0])["remove_data"] is True
