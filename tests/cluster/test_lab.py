"""The lab keeps what it promises: the tests of the roles can be no better than the hosts they run on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lab import Lab, running_lab
from support.lab.control import end_lab
from support.lab.keeper import keeper_of
from support.lab.layout import Layout
from support.lab.machine import LabFailed
from support.processes import TESTS, is_alive, processes_about, wait_for

pytestmark = pytest.mark.cluster

_OWN, _OTHER = 8, 9
"""Indices: of this file's lab, on which nothing is deployed; and of those that single tests make and kill."""

_OWNER = """
import sys
from support.lab import running_lab
with running_lab(int(sys.argv[1]), ["m2"]):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab(_OWN) as lab:
        yield lab


@pytest.mark.parametrize("host", ["m2", "m4-1", "m4-2"])
def test_a_host_has_booted_without_a_failed_unit(lab: Lab, host: str) -> None:
    assert lab.host(host).run("systemctl is-system-running") == (0, "running")
    assert lab.host(host).read("hostname") == host


def test_hosts_reach_each_other_by_name(lab: Lab) -> None:
    for host in lab.hosts.values():
        for other in lab.hosts:
            host.read(f"ping -c 1 -W 5 {other}")
    assert lab.host("m2").address in lab.host("m4-1").read("getent ahosts m2")


def test_the_ordinary_user_may_do_anything_by_sudo(lab: Lab) -> None:
    host = lab.host("m4-1")
    assert host.read("id --user --name", user="operator") == "operator"
    assert host.read("sudo --non-interactive id --user", user="operator") == "0"


def test_hosts_differ_in_identity_and_key(lab: Lab) -> None:
    command = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub"
    assert len({host.read(command) for host in lab.hosts.values()}) == len(lab.hosts)


def test_a_host_whose_key_is_not_known_is_refused(lab: Lab, tmp_path: Path) -> None:
    command = lab.host("m2").ssh_command("true")
    known = str(lab.layout.known_hosts)
    assert subprocess.run(command, check=False).returncode == 0
    stranger = [word.replace(known, str(tmp_path / "none")) for word in command]
    assert subprocess.run(stranger, check=False, capture_output=True).returncode == 255


def test_apt_installs_a_package(lab: Lab) -> None:
    host = lab.host("m4-2")
    assert host.run("command -v tree").code != 0
    host.read("apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes tree")
    assert "tree v" in host.read("tree --version")


def test_limits_of_a_unit_hold(lab: Lab) -> None:
    eats = "systemd-run --quiet --wait -p MemoryMax=20M -p MemorySwapMax=0 python3 -c 'bytes(bytearray(100 << 20))'"
    host = lab.host("m2")
    assert host.run(eats).code != 0
    assert host.run(eats.replace("100", "1")).code == 0


def test_ansible_reaches_every_host_of_the_inventory(lab: Lab, tmp_path: Path) -> None:
    inventory = lab.inventory(tmp_path)
    ansible = str(Path(sys.executable).with_name("ansible"))
    command = [ansible, "-i", str(inventory), "--become", "-m", "ansible.builtin.command", "-a", "id -u", "v2t"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rc=0 >>\n0") == len(lab.hosts)


def test_data_outlives_a_power_cut(lab: Lab) -> None:
    host = lab.host("m4-1")
    host.read("echo kept >/root/kept && sync && systemd-run --quiet --unit=sleeper sleep 1000")
    host.kill()
    assert host.pid == 0
    assert not Path("/sys/class/net", lab.layout.interface("m4-1")).exists()  # the next start makes it anew
    assert host.run("true").code == 255
    host.start()
    assert host.read("cat /root/kept && systemctl is-active sleeper || true") == "kept\ninactive"
    assert host.read("systemctl is-system-running") == "running"


def test_a_host_shuts_down_and_reboots_in_order(lab: Lab) -> None:
    host = lab.host("m4-1")
    host.read("echo kept >/root/kept")
    host.poweroff()
    assert host.pid == 0
    host.start()
    runs_by = host.pid
    host.read("touch /run/before")
    host.run("systemctl reboot")
    wait_for(lambda: host.run("test -e /run/before").code == 1, "the host is back from its reboot", 60)
    assert host.pid == runs_by
    assert host.read("cat /root/kept") == "kept"


def test_a_cut_cable_parts_a_host_from_the_others(lab: Lab) -> None:
    reaches = "ping -c 1 -W 1 m4-2"
    assert lab.host("m2").run(reaches).code == 0
    lab.cut("m4-2")
    assert lab.host("m2").run(reaches).code != 0
    assert lab.host("m2").run("ping -c 1 -W 1 m4-1").code == 0
    assert lab.host("m4-2").pid
    lab.join("m4-2")
    assert lab.host("m2").run(reaches).code == 0


def test_an_index_is_used_once(lab: Lab) -> None:
    with pytest.raises(LabFailed, match="runs already"), running_lab(lab.layout.index):
        pass
    assert lab.host("m2").run("true").code == 0


def test_nothing_is_left_of_a_lab(lab: Lab) -> None:
    with running_lab(_OTHER, ["m2"]) as other:
        found = "\n".join(_left_of(other.layout))
        for what in ("process", "interface", "rule", "cgroup", "folder"):
            assert what in found
    assert not _left_of(other.layout)
    assert lab.host("m2").run("true").code == 0


def test_hosts_may_run_ubuntu() -> None:
    with running_lab(_OTHER, ["m2"], "ubuntu-24.04") as other:
        host = other.host("m2")
        assert 'VERSION_ID="24.04"' in host.read("cat /etc/os-release")
        assert host.run("systemctl is-system-running") == (0, "running")


@pytest.mark.parametrize("victim", ["owner", "keeper"])
def test_nothing_is_left_of_a_lab_whose_process_is_killed(victim: str) -> None:
    layout = Layout(_OTHER, ("m2",))
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(_OTHER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    with owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"up\n"
        keeper = keeper_of(layout)
        assert keeper
        os.kill(owner.pid if victim == "owner" else keeper, signal.SIGKILL)
        wait_for(lambda: not is_alive(keeper), "the keeper ends", 30)
        if victim == "keeper":
            wait_for(lambda: not _processes(layout), "the host ends", 10)
            owner.kill()
            end_lab(_OTHER)  # or the next start
    assert not _left_of(layout)


def _left_of(layout: Layout) -> list[str]:
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mounts").read_text()
    marks = (layout.name, f"lab{layout.index}-", layout.subnet, str(layout.folder))
    return [
        *(f"process {pid}: {command}" for pid, command in _processes(layout).items()),
        *(f"interface {line}" for line in links.splitlines() if any(mark in line for mark in marks)),
        *(f"rule {line}" for line in rules.splitlines() if any(mark in line for mark in marks)),
        *(f"mount {line}" for line in mounts.splitlines() if any(mark in line for mark in marks)),
        *(f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"*/{layout.name}*")),
        *(f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"{layout.name}*")),
        *(f"folder {path}" for path in [layout.folder] if path.exists()),
        *(f"folder {path}" for path in Path("/run/systemd").glob(f"**/*lab{layout.index}-*")),
    ]


def _processes(layout: Layout) -> dict[int, str]:
    return processes_about(f"{layout.folder}/")
