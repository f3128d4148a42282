"""A host runs more workers while much waits, by systemd's units."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from support.deployed import begin_batch, chunks_done, end_batch, exposure, make_clips, place
from support.lab import Lab
from support.operator import Operator
from support.processes import wait_for

pytestmark = pytest.mark.cluster


def variables(operator: Operator) -> Path:
    """The host's own variables, of which the sample of an inventory has none."""
    folder = operator.inventory / "host_vars"
    folder.mkdir(exist_ok=True)
    return folder / "m4-1.yml"


def test_another_worker_starts_while_much_waits(cluster: Lab, operator: Operator, tmp_path: Path) -> None:
    host = cluster.host("m4-1")
    variables(operator).write_text("worker_instances_most: 2\n")
    operator.deploy("--limit", "m4-1", "--tags", "worker_configure,worker_run")
    assert host.read("systemctl is-active v2t-scale") == "active"
    assert host.run("systemctl is-active v2t-worker@2").output == "inactive"
    place(host, make_clips(tmp_path, 60, "scaling"), "/var/tmp/scaling")

    batch = begin_batch(host, "/var/tmp/scaling")
    wait_for(lambda: host.run("systemctl is-active v2t-worker@2").code == 0, "a second worker runs", 120)
    wait_for(lambda: chunks_done(host, 8082) > 0, "the second worker computes", 120)

    assert end_batch(batch)["completed"] == 60
    assert "2 workers instead of 1" in host.read("journalctl --no-pager -u v2t-scale")
    assert operator.deploy("--limit", "m4-1", "--tags", "worker_configure,worker_run")["data"]["changed"] == 0


def test_what_looks_at_the_queue_may_do_nothing_else(cluster: Lab) -> None:
    host = cluster.host("m4-1")
    asked = "echo {words} | python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); "
    asked += 's.connect("/run/v2t-units.socket"); s.send(sys.stdin.buffer.read()); print(s.recv(999).decode())\''

    assert "are not ended" in host.read(f"sudo -u v2t sh -c {shlex.quote(asked.format(words='stop 1'))}")
    assert host.run(f"sudo -u nobody sh -c {shlex.quote(asked.format(words='show'))}").code != 0
    for unit in ("v2t-scale.service", "v2t-units@x.service"):
        assert exposure(host, unit) < 3.0


def test_a_host_that_scales_no_more_has_the_workers_it_should_have(cluster: Lab, operator: Operator) -> None:
    host = cluster.host("m4-1")
    variables(operator).unlink()

    operator.deploy("--limit", "m4-1", "--tags", "worker_configure,worker_run")

    assert host.run("systemctl is-active v2t-worker@2").output == "inactive"
    assert host.read("systemctl is-active v2t-worker@1") == "active"
    assert host.read("ls /etc/systemd/system /run | grep -c 'v2t-scale\\|v2t-units' || true") == "0"
