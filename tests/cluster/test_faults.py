"""What can be wrong before and while bare hosts become a cluster: each is told in a line, and a repeat heals it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.lab import Lab
from support.lab.control import Host
from support.operator import Operator

from v2t.cluster.artifacts import default_folder, this_architecture

pytestmark = pytest.mark.cluster

_PREFLIGHT = ("--tags", "preflight")


@contextmanager
def small_disk(host: Host, folder: str, mebibytes: int) -> Iterator[None]:
    host.read(f"mkdir --parents {folder} && mount -t tmpfs -o size={mebibytes}m tmpfs {folder}")
    try:
        yield
    finally:
        host.read(f"umount {folder}")


def test_a_look_at_bare_hosts_says_what_would_be_done_and_does_nothing(lab: Lab, operator: Operator) -> None:
    said = operator.on_inventory("plan")

    assert said["exit_code"] == 0, said["errors"]
    assert len(said["data"]["changes"]) > 20
    assert lab.host("m2").run("ls /opt/v2t /etc/v2t").code != 0


def test_a_wrong_vault_password_is_told_before_any_host_is_touched(operator: Operator, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("not this one\n")
    wrong.chmod(0o600)

    code, message = operator.refused("--vault-password-file", str(wrong))

    assert (code, "does not open" in message) == (3, True), message


def test_a_key_that_a_host_does_not_accept_is_told(lab: Lab, operator: Operator) -> None:
    # A connection that Ansible left open for the next run would not be asked for its key again.
    moved = "mv /home/operator/.ssh/authorized_keys /home/operator/.ssh/kept; pkill --euid operator sshd; echo moved"
    assert lab.host("m4-2").read(moved) == "moved"
    try:
        code, message = operator.refused(*_PREFLIGHT)
    finally:
        lab.host("m4-2").read("mv /home/operator/.ssh/kept /home/operator/.ssh/authorized_keys")

    assert code == 5, message
    assert message.startswith("m4-2: ")
    assert "Permission denied" in message


def test_an_account_that_may_not_act_as_root_is_told_what_to_do(lab: Lab, operator: Operator) -> None:
    (rights,) = lab.host("m4-2").read("grep --files-with-matches --recursive operator /etc/sudoers.d").split()
    lab.host("m4-2").read(f"mv {rights} /root/rights")
    try:
        code, message = operator.refused(*_PREFLIGHT)
    finally:
        lab.host("m4-2").read(f"mv /root/rights {rights}")

    assert code == 1, message
    assert "m4-2: the account of the inventory may not act as root" in message
    assert "--ask-become-pass" in message


def test_a_host_that_is_not_reached_is_named(lab: Lab, operator: Operator) -> None:
    lab.cut("m4-2")
    try:
        code, message = operator.refused(*_PREFLIGHT)
    finally:
        lab.join("m4-2")

    assert code == 5, message
    assert message.startswith("m4-2: ")
    assert len(message.splitlines()) == 1, message


def test_a_port_that_another_program_holds_is_named_with_its_holder(lab: Lab, operator: Operator) -> None:
    lab.host("m4-1").read("systemd-run --unit squatter python3 -m http.server 8081 && sleep 1")
    try:
        code, message = operator.refused(*_PREFLIGHT)
    finally:
        lab.host("m4-1").read("systemctl stop squatter")

    assert code == 1, message
    assert "port 8081 is held by python3 (squatter.service)" in message


def test_a_disk_that_is_too_small_is_told_before_anything_is_installed(lab: Lab, operator: Operator) -> None:
    with small_disk(lab.host("m4-1"), "/opt", 64):
        code, message = operator.refused(*_PREFLIGHT)

    assert code == 1, message
    assert "in /opt and needs 1024" in message


def test_a_program_that_was_tampered_with_is_not_taken_to_a_host(operator: Operator, tmp_path: Path) -> None:
    gathered = tmp_path / "artifacts"
    shutil.copytree(default_folder(), gathered, copy_function=os.link)
    victim = gathered / this_architecture() / "mc" / "mc"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.unlink()
    victim.write_bytes(content)
    victim.chmod(0o755)

    code, message = replace(operator, environment={"V2T_ARTIFACTS": str(gathered)}).refused()

    assert code == 3, message
    assert f"{victim}: mc is damaged; `v2t cluster artifacts fetch" in message


def test_a_deployment_that_is_interrupted_says_so_and_leaves_the_cluster_free(lab: Lab, operator: Operator) -> None:
    """The deployment of the whole cluster, which follows, begins on what this one has left."""
    running = operator.begin("deploy", "--inventory", str(operator.inventory), "--yes")
    assert running.stderr
    for line in running.stderr:  # in the middle of the servers, with PostgreSQL there and MinIO half done
        if "postgresql on m2" in line:
            break
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)

    assert running.returncode == 130, said
    assert "interrupted" in (operator.inventory / "audit.log").read_text().splitlines()[-1]
    assert lab.host("m2").run("test -e /etc/systemd/system/v2t-temporal.service").code == 1


def test_a_disk_that_fills_up_halfway_is_told_and_the_next_run_goes_on(lab: Lab, operator: Operator) -> None:
    """Larger than what preflight asks for is not what it takes."""
    host = lab.host("m4-1")
    settings = operator.inventory / "host_vars" / "m4-1.yml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text("preflight_disk_mib_minimum: {/opt: 16}\n")
    try:
        with small_disk(host, "/opt", 160):
            code, message = operator.refused("--limit", "m4-1")
    finally:
        settings.unlink()

    assert code == 1, message
    assert message.startswith("m4-1: ")
    assert "No space left on device" in message or "disk" in message, message
