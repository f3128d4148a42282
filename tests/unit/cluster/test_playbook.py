"""Real runs of tiny playbooks on this machine, without SSH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.processes import processes_about, wait_for

from v2t.cluster.ansible import PlaybookOptions, find_program, playbook_command
from v2t.cluster.inventory import ansible_environment
from v2t.cluster.journal import Redaction, hold_cluster
from v2t.cluster.playbook import Ended, PlaybookRun, run_playbook
from v2t.cluster.progress import Outcome, Run

_HOSTS = """
v2t:
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  hosts:
    a:
    b: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    (tmp_path / "hosts.yml").write_text(_HOSTS, encoding="utf-8")
    return tmp_path


def _prepare(inventory: Path, playbook: str, limit: str = "a") -> PlaybookRun:
    (inventory / "site.yml").write_text(playbook, encoding="utf-8")
    options = PlaybookOptions(limit=limit, diff=True)
    command = playbook_command(
        find_program("ansible-playbook"), inventory / "hosts.yml", inventory / "site.yml", options
    )
    return PlaybookRun(
        inventory,
        command,
        ansible_environment(inventory, None),
        operation="deploy",
        told_as=("v2t", "cluster", "deploy"),
        redaction=Redaction(("hush-hush-1",)),
    )


def _ignore(_run: Run, _outcomes: Sequence[Outcome]) -> None:
    """Nobody watches."""


def _record(inventory: Path) -> str:
    return (inventory / "audit.log").read_text().splitlines()[-1].split("\t")[3]


def test_a_run_is_followed_logged_without_secrets_and_recorded(inventory: Path) -> None:
    playbook = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Write it
      ansible.builtin.copy: {content: "hush-hush-1\\n", dest: "{{ inventory_dir }}/made", mode: "0600"}
"""
    seen: list[tuple[str, str]] = []

    ended = run_playbook(
        _prepare(inventory, playbook), lambda _run, outcomes: seen.extend((one.task, one.state) for one in outcomes)
    )

    assert seen == [("Write it", "changed")]
    assert (ended.exit_code, ended.changed, list(ended.failures)) == (0, 1, [])
    log = ended.log.read_text()
    assert "changed: a: Write it" in log
    assert "+***" in log
    assert "hush" not in log
    assert _record(inventory) == "ok, 1 changed"


def test_what_a_playbook_found_comes_back_and_only_looking_needs_no_lock_and_leaves_no_record(inventory: Path) -> None:
    playbook = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Say what was found
      ansible.builtin.set_stats: {per_host: true, data: {units: [v2t-temporal]}}
"""
    looking = replace(_prepare(inventory, playbook), changes=False)

    with hold_cluster(inventory, "v2t cluster deploy", datetime.now(UTC)):
        ended = run_playbook(looking, _ignore)

    assert ended.told == {"a": {"units": ["v2t-temporal"]}}
    assert not (inventory / "audit.log").exists()


def test_a_failed_and_an_unreachable_host_are_told_apart(inventory: Path) -> None:
    playbook = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Fail
      ansible.builtin.command: {argv: [sh, -c, "echo hush-hush-1 is wrong >&2; exit 3"]}
"""
    ended = run_playbook(_prepare(inventory, playbook, limit="all"), _ignore)

    failures = {failure.host: failure for failure in ended.failures}
    assert str(failures["a"]) == "a: Fail: *** is wrong (exit code 3)"
    assert failures["b"].unreachable
    assert "Connection refused" in failures["b"].message
    assert _record(inventory) == "failed on a, b"


def test_a_playbook_that_ansible_cannot_read_says_why(inventory: Path) -> None:
    ended = run_playbook(_prepare(inventory, "- hosts: all\n  tasks: 3\n"), _ignore)

    assert ended.exit_code
    assert ended.failures == []
    assert "list" in ended.complaint
    assert _record(inventory).startswith("failed: ")


def test_an_interruption_ends_ansible_with_all_it_started_and_frees_the_cluster(inventory: Path) -> None:
    playbook = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Take long
      ansible.builtin.command: {argv: [setsid, --wait, sleep, "61.75"]}
"""
    of_ansible, of_its_task = f"--inventory={inventory}", "sleep 61.75"

    def interrupt(run: Run, _outcomes: Sequence[Outcome]) -> None:
        if run.task == "Take long":
            wait_for(lambda: processes_about(of_its_task), "the task is under way")
            assert processes_about(of_ansible)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_playbook(_prepare(inventory, playbook), interrupt)

    assert _record(inventory) == "interrupted"
    wait_for(lambda: not processes_about(of_ansible), "Ansible has ended")
    wait_for(lambda: not processes_about(of_its_task), "so has what it started, in a session of its own")
    with hold_cluster(inventory, "next", datetime.now(UTC)):
        pass


def test_what_is_recorded_of_a_run_without_hosts_is_ansibles_complaint() -> None:
    assert Ended(4, Path("log"), 1.0, {}, [], "no hosts").describe() == "failed: no hosts"
