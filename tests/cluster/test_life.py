"""Hosts come, rest and go; the cluster is upgraded and goes back; work goes on meanwhile. m4-1 and m4-3 are left."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.cleanliness import traces
from support.deployed import V2T, begin_batch, end_batch, make_clips, place
from support.lab import Lab
from support.lab.control import Host
from support.operator import Operator
from support.processes import wait_for

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]


def send_recordings(host: Host, folder: Path, name: str, count: int) -> str:
    """Put so many recordings, no two alike and none known to the cluster, on a host; their folder there."""
    place(host, make_clips(folder, count, name), f"/var/tmp/{name}")
    return f"/var/tmp/{name}"


@contextmanager
def batch_under_way(host: Host, folder: str) -> Iterator[subprocess.Popen[str]]:
    """A batch of that folder; the body begins when files are at work."""
    batch = begin_batch(host, folder)
    try:
        until_at_work(host)
        yield batch
    finally:
        batch.kill()
        batch.wait()


def until_at_work(host: Host) -> None:
    """Wait until a worker of this host computes."""
    slots = "curl --silent http://127.0.0.1:8081/health | grep -q '\"used\": *[1-9]'"
    host.read(f"for _ in $(seq 600); do {slots} && exit 0; sleep 0.1; done; exit 1")


def node(operator: Operator, *arguments: str) -> dict[str, Any]:
    """`v2t cluster node …`, which must succeed."""
    said = operator.run("node", *arguments, "--inventory", str(operator.inventory), "--yes")
    assert said["exit_code"] == 0, said["errors"]
    return said


def release_of(host: Host) -> str:
    return host.read("basename $(readlink /opt/v2t/application/current)")


def started(host: Host) -> str:
    """When its worker started; another value after a restart."""
    return host.read("systemctl show --property=ExecMainStartTimestampMonotonic --value v2t-worker@1")


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory, operator: Operator) -> Operator:
    """The operator with a v2t of another release: a copy of this one with a line more."""
    copy = tmp_path_factory.mktemp("newer")
    kept = ("v2t", "roles", "playbooks", "templates", "requirements", "inventory", "pyproject.toml", "README.md")
    for name in (*kept, "LICENSE", "CHANGELOG.md"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, copy / name)
    with (copy / "v2t" / "__init__.py").open("a") as file:
        file.write("\nNEWER = True\n")
    own_code = {"PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1"}  # not that of the folder where the tests run
    return Operator(operator.inventory, {**operator.environment, **own_code})


def test_a_bare_host_becomes_a_worker_that_the_others_know(cluster: Lab, operator: Operator) -> None:
    spare = cluster.host("m4-3")

    node(operator, "add", f"m4-3={spare.address}")

    assert operator.hosts()["m4-3"]["ansible_host"] == spare.address
    assert spare.read("systemctl is-active v2t-worker@1") == "active"
    assert spare.address in cluster.host("m4-1").read("getent hosts m4-3")
    health = spare.run(f"{V2T} health --json")
    assert health.code == 0, health.output
    assert "m4-3" in health.output


def test_adding_it_again_changes_nothing(cluster: Lab, operator: Operator) -> None:
    before = (operator.inventory / "hosts.yml").read_text()

    said = node(operator, "add", f"m4-3={cluster.host('m4-3').address}")

    assert said["data"]["changed"] == 0
    assert (operator.inventory / "hosts.yml").read_text() == before


def test_a_drained_host_loses_nothing_and_stays_drained(cluster: Lab, operator: Operator, tmp_path: Path) -> None:
    files = send_recordings(cluster.host("m4-1"), tmp_path, "drain", 24)
    leaving = cluster.host("m4-2")

    with batch_under_way(cluster.host("m4-1"), files) as batch:
        until_at_work(leaving)
        until_at_work(cluster.host("m4-3"))  # a new host takes work like the others
        said = node(operator, "drain", "m4-2")
        assert leaving.run("systemctl is-active v2t-worker@1").output == "inactive"
        assert said["data"]["worker_ended"] == ["v2t-worker@1.service"]
        report = end_batch(batch)

    assert report["completed"] == 24, report
    assert "killed" not in leaving.read("journalctl --no-pager -u v2t-worker@1 | tail -5")
    operator.deploy("--limit", "m4-2", "--tags", "worker_run")
    assert leaving.run("systemctl is-active v2t-worker@1").output == "inactive"


def test_a_drained_host_can_work_again(cluster: Lab, operator: Operator) -> None:
    node(operator, "drain", "m4-2", "--undo")

    assert cluster.host("m4-2").read("systemctl is-active v2t-worker@1") == "active"
    assert cluster.host("m4-2").read("systemctl is-enabled v2t-worker@1") == "enabled"
    assert "worker_drained" not in operator.hosts()["m4-2"]


def test_a_removed_host_is_clean_and_forgotten(cluster: Lab, operator: Operator) -> None:
    node(operator, "remove", "m4-2")

    assert set(operator.hosts()) == {"m2", "m4-1", "m4-3"}
    assert traces(cluster.host("m4-2")) == []
    assert "ssh_whisper" not in cluster.host("m4-1").read("cat /etc/v2t/config.toml")
    known = cluster.host("m4-1").read("sed -n '/BEGIN v2t/,/END v2t/p' /etc/hosts")  # the lab's own lines stand beside
    assert ("m4-2" in known, "m4-3" in known) == (False, True), known
    address = cluster.host("m2").address
    assert cluster.host("m4-2").run(f"timeout 5 bash -c '</dev/tcp/{address}/7233'").code != 0


def test_a_host_with_servers_is_not_removed(cluster: Lab, operator: Operator) -> None:
    said = operator.run("node", "remove", "m2", "--inventory", str(operator.inventory), "--yes")

    assert said["exit_code"] == 2
    assert "m2" in operator.hosts()


def test_an_upgrade_under_work_loses_nothing(cluster: Lab, operator: Operator, newer: Operator, tmp_path: Path) -> None:
    workers = [cluster.host("m4-1"), cluster.host("m4-3")]
    files = send_recordings(workers[0], tmp_path, "upgrade", 240)
    releases, starts = [release_of(host) for host in workers], [started(host) for host in workers]
    listed = newer.on_inventory("upgrade", "--check")["data"]["changes"]
    assert {(one["host"], one["program"]) for one in listed} >= {("m4-1", "v2t"), ("m4-3", "v2t")}

    ready = f"test -e /opt/v2t/application/{listed[0]['then']}/.complete"
    upgrade = newer.begin("upgrade", "--inventory", str(newer.inventory), "--yes")
    wait_for(lambda: all(host.run(ready).code == 0 for host in workers), "the new release lies ready", 900)
    with batch_under_way(workers[0], files) as batch:
        stdout, stderr = upgrade.communicate(timeout=900)
        assert upgrade.returncode == 0, stdout + stderr
        report = end_batch(batch)

    assert report["completed"] == 240, report
    ended_at = int(workers[0].read(f"cat {files}.ended"))
    restarted = 'date +%s -d "$(systemctl show --property=ExecMainStartTimestamp --value v2t-worker@1)"'
    assert all(int(host.read(restarted)) < ended_at for host in workers), "the batch ended before the restarts"
    assert {release_of(host) for host in workers} == {listed[0]["then"]}
    assert listed[0]["then"] not in releases
    assert all(started(host) != before for host, before in zip(workers, starts, strict=True))
    assert not newer.on_inventory("upgrade", "--check")["data"]["changes"]


def test_workers_go_back_and_stay_so_until_the_next_upgrade(cluster: Lab, newer: Operator) -> None:
    workers = [cluster.host("m4-1"), cluster.host("m4-3")]
    new = release_of(workers[0])

    said = newer.on_inventory("rollback", "--yes")
    assert said["exit_code"] == 0, said["errors"]
    (old,) = {release_of(host) for host in workers}
    assert old != new
    assert newer.hosts()["m4-1"]["worker_release"] == old

    newer.deploy("--limit", "workers", "--tags", "worker")
    assert {release_of(host) for host in workers} == {old}
    kept = workers[0].read("ls -d /opt/v2t/application/*/bin | grep -v current | wc -l")
    assert kept == "2"


def test_a_host_without_an_older_release_says_so(cluster: Lab, newer: Operator) -> None:
    said = newer.on_inventory("rollback", "--yes")

    assert said["exit_code"] == 2
    assert re.search(r"m4-\d has no release from before", said["errors"][0]["message"])


def test_the_next_upgrade_goes_forward_again(cluster: Lab, operator: Operator) -> None:
    assert operator.on_inventory("upgrade", "--yes")["exit_code"] == 0

    assert "worker_release" not in operator.hosts()["m4-1"]
