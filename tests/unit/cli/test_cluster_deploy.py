from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from v2t.cli import cluster_options
from v2t.cli.cluster import group
from v2t.cluster import playbook, shipped
from v2t.cluster.inventory import Inventory
from v2t.cluster.journal import hold_cluster
from v2t.cluster.playbook import Ended, OnChange, PlaybookRun
from v2t.cluster.progress import Failure
from v2t.domain.errors import InventoryInvalid

_SITE = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Write it
      ansible.builtin.copy: {content: "new\\n", dest: "{{ inventory_dir }}/made", mode: "0600"}
"""
_HOSTS = "v2t: {hosts: {a: {ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'}}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a valid inventory, whose site.yml writes a file beside it."""
    (tmp_path / "hosts.yml").write_text(_HOSTS)
    (tmp_path / "site.yml").write_text(_SITE)
    inventory = Inventory(tmp_path, {"a": {"vault_x": "hush-hush-1"}}, {"v2t": ("a",)})
    monkeypatch.setattr(cluster_options, "open_inventory", lambda _named, _password: (inventory, None, []))
    monkeypatch.setattr(shipped, "shipped", lambda _name: tmp_path)
    return tmp_path


def _end_with(monkeypatch: pytest.MonkeyPatch, *failures: Failure, exit_code: int = 2) -> list[PlaybookRun]:
    """Let no Ansible run, and this come of it."""
    runs: list[PlaybookRun] = []

    def run(run: PlaybookRun, _on_change: OnChange) -> Ended:
        runs.append(run)
        counts = {"ok": 3, "changed": 1, "failures": 1, "unreachable": 0, "skipped": 0}
        return Ended(exit_code, Path("/log"), 61.0, {"a": counts}, list(failures), "no site.yml")

    monkeypatch.setattr(playbook, "run_playbook", run)
    return runs


def test_a_check_shows_the_differences_and_changes_nothing(folder: Path) -> None:
    outcome = CliRunner().invoke(group, ["deploy", "--check", "--diff"])

    assert outcome.exit_code == 0, outcome.output
    assert not (folder / "made").exists()
    assert "v2t: +new" in outcome.stderr
    assert outcome.stdout.splitlines()[1].split() == ["a", "1", "1", "0", "0", "0"]
    assert "1 task would change something in 0:" in outcome.stdout
    assert "v2t cluster deploy --check --diff" in (folder / "audit.log").read_text()


def test_a_deployment_is_told_role_by_role_and_its_json_has_the_recap(folder: Path) -> None:
    outcome = CliRunner().invoke(group, ["deploy", "--yes", "--json"])

    data = json.loads(outcome.stdout)["data"]
    assert (folder / "made").read_text() == "new\n"
    assert (data["changed"], data["check"], data["hosts"]["a"]["ok"]) == (1, False, 1)
    assert Path(data["log"]).parent == folder / "log"
    assert "all on a: 1 ok, 1 changed" in outcome.stderr
    assert set(data["roles"]) == {"all"}


def test_the_slowest_role_is_shown_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Ended(0, Path("/log"), 61.0, {}, [], roles={"redis": 4.04, "worker": 31.25})
    monkeypatch.setattr(playbook, "run_playbook", lambda _run, _on_change: ended)

    outcome = CliRunner().invoke(group, ["deploy", "--yes"])

    assert [line.split() for line in outcome.stdout.splitlines()[:3]] == [
        ["ROLE", "SECONDS"],
        ["worker", "31.2"],
        ["redis", "4.0"],
    ]


def test_without_a_terminal_a_change_must_be_meant(folder: Path) -> None:
    outcome = CliRunner().invoke(group, ["deploy"])

    assert outcome.exit_code == 2
    assert "--yes" in outcome.stderr
    assert not (folder / "audit.log").exists()


def test_failed_hosts_come_before_unreachable_ones_and_decide_the_exit_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable, failed = Failure("b", "Look", "no route", unreachable=True), Failure("a", "Start", "no such unit")

    _end_with(monkeypatch, unreachable, failed)
    both = CliRunner().invoke(group, ["deploy", "--yes"])
    _end_with(monkeypatch, unreachable, exit_code=4)
    one = CliRunner().invoke(group, ["deploy", "--yes"])
    _end_with(monkeypatch, exit_code=1)
    none = CliRunner().invoke(group, ["deploy", "--yes"])

    assert (both.exit_code, one.exit_code, none.exit_code) == (1, 5, 1)
    assert both.stderr.splitlines()[-2:] == ["v2t: a: Start: no such unit", "v2t: b: Look: no route"]
    assert "v2t: Ansible could not run the playbook: no site.yml" in none.stderr


def test_the_options_reach_ansible_and_the_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = _end_with(monkeypatch, exit_code=0)

    CliRunner().invoke(group, ["deploy", "--yes", "--limit", "m4-1", "--tags", "redis"])

    assert list(runs[0].command[1:]) == [
        f"--inventory={folder}/hosts.yml",
        "--limit=m4-1",
        "--tags=redis",
        f"{folder}/site.yml",
    ]
    assert list(runs[0].told_as) == ["v2t", "cluster", "deploy", "--limit=m4-1", "--tags=redis"]
    assert runs[0].redaction.hide("hush-hush-1") == "***"


def test_while_another_operator_deploys_nothing_is_run(folder: Path) -> None:
    with hold_cluster(folder, "v2t cluster deploy", datetime.now(UTC)):
        outcome = CliRunner().invoke(group, ["deploy", "--yes"])

    assert outcome.exit_code == 1
    assert f"(process {os.getpid()}); wait" in outcome.stderr
    assert not (folder / "made").exists()


def test_mistakes_in_the_inventory_are_told_and_nothing_is_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = Inventory(folder, {}, {})
    mistakes = [InventoryInvalid("hosts.yml: one"), InventoryInvalid("hosts.yml: two")]
    monkeypatch.setattr(cluster_options, "open_inventory", lambda _named, _password: (inventory, None, mistakes))

    outcome = CliRunner().invoke(group, ["deploy", "--yes"])

    assert outcome.exit_code == 3
    assert outcome.stderr.splitlines() == ["v2t: hosts.yml: one", "v2t: hosts.yml: two"]
    assert not (folder / "log").exists()
