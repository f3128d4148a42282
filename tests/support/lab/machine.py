"""What is made on this machine for a lab and its hosts, and how it is taken away; each step may be repeated."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from support.lab.layout import USER, Layout

_HERE = Path(__file__).parent
_REMOVE_ATTEMPTS = 100

CONTAINED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
"""Before a command: it ends when its parent does, and with it every process and mount that it made."""

_ROOT = (0, 0)
_ORDINARY = (1000, 100)
"""Ids of a user and its group, as `base.py` makes them."""


def make_network(layout: Layout) -> None:
    """A bridge for the hosts, and a way out for them through this machine's address."""
    run("ip", "link", "add", layout.name, "type", "bridge")
    run("ip", "address", "add", f"{layout.gateway}/24", "dev", layout.name)
    run("ip", "link", "set", layout.name, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    for rule in _rules(layout):
        run("iptables", "--wait", *_table(rule), "--insert", *rule[1:])


def remove_network(layout: Layout) -> None:
    for rule in _rules(layout):
        while run("iptables", "--wait", *_table(rule), "--delete", *rule[1:], check=False) == 0:
            pass
    remove_cables(layout)
    run("ip", "link", "delete", layout.name, check=False)


def remove_cables(layout: Layout, host: str = "*") -> None:
    """Remove a host's network cable, or those of all hosts.

    The kernel does so too, but after a host was killed that may take it a minute, and the next start would find it.
    """
    for cable in Path("/sys/class/net").glob(layout.interface(host)):
        run("ip", "link", "delete", cable.name, check=False)


def _rules(layout: Layout) -> list[tuple[str, ...]]:
    inside, outside = ("--source", layout.subnet), ("!", "--destination", layout.subnet)
    return [
        ("nat", "POSTROUTING", *inside, *outside, "--jump", "MASQUERADE"),
        # where a container engine makes the policy to drop
        ("filter", "FORWARD", "--in-interface", layout.name, "--jump", "ACCEPT"),
        ("filter", "FORWARD", "--out-interface", layout.name, "--jump", "ACCEPT"),
    ]


def _table(rule: tuple[str, ...]) -> tuple[str, str]:
    return "--table", rule[0]


def make_key(layout: Layout) -> None:
    _new_key(layout.key, "lab")


def make_host(layout: Layout, host: str) -> None:
    """The host's drive: what sets it apart from the base."""
    folder = layout.host_folder(host)
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True)
    upper = folder / "upper"
    _write(upper / "etc/hostname", f"{host}\n")
    _write(upper / "etc/machine-id", f"{uuid.uuid4().hex}\n")
    names = "".join(f"{layout.address(each)} {each}\n" for each in layout.hosts)
    _write(upper / "etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{names}")
    _write(upper / "etc/resolv.conf", _name_servers())
    _write(
        upper / "etc/systemd/network/10-host0.network",
        f"[Match]\nName=host0\n[Network]\nAddress={layout.address(host)}/24\nGateway={layout.gateway}\n",
    )
    host_key = upper / "etc/ssh/ssh_host_ed25519_key"
    host_key.parent.mkdir(parents=True)
    _new_key(host_key, host)
    with layout.known_hosts.open("a") as known_hosts:
        known_hosts.write(f"{host},{layout.address(host)} {_public(host_key)}")
    _allow(layout, upper / "root", _ROOT)
    _allow(layout, upper / "home" / USER, _ORDINARY)


def _name_servers() -> str:
    """This machine's, and where it has one of its own on loopback, those that it asks."""
    files = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
    return next(file.read_text() for file in files if file.exists())


def _allow(layout: Layout, home: Path, owner: tuple[int, int]) -> None:
    _write(home / ".ssh/authorized_keys", _public(layout.key))
    for path in (home, home / ".ssh", home / ".ssh/authorized_keys"):
        os.chown(path, *owner)
        path.chmod(0o700 if path.is_dir() else 0o600)


def make_cgroups(layout: Layout, host: str) -> list[Path]:
    """A cgroup of its own in each hierarchy, without which all hosts would share one."""
    made = []
    for hierarchy in _hierarchies():
        group = hierarchy / layout.cgroup(host)
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # of version 1, where an empty set takes no process
            if (group / name).exists() and (hierarchy / name).exists():
                (group / name).write_text((hierarchy / name).read_text())
        made.append(group)
    return made


def remove_cgroups(layout: Layout, host: str = "*") -> None:
    """Remove a host's cgroups, or those of all hosts; returns when no process is in them any more."""
    for hierarchy in _hierarchies():
        for group in hierarchy.glob(layout.cgroup(host)):
            _remove_cgroup(group)


def _remove_cgroup(group: Path) -> None:
    """Its files are the kernel's, and go with it."""
    for folder, _, _ in os.walk(group, topdown=False):
        for attempt in reversed(range(_REMOVE_ATTEMPTS)):  # the kernel ends a killed host's processes one by one
            try:
                Path(folder).rmdir()
                break
            except OSError:
                if not attempt:
                    raise
                time.sleep(0.05)


def _hierarchies() -> Iterator[Path]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"}:
            yield Path(place)


def remove_folder(layout: Layout) -> None:
    shutil.rmtree(layout.folder, ignore_errors=True)


def boot_command(layout: Layout, host: str, base: Path, cgroups: list[Path]) -> list[str]:
    """Runs a host; killed hard, it leaves only the host's drive and empty cgroups."""
    return [
        *CONTAINED,
        str(_HERE / "boot.sh"),
        *(str(layout.host_folder(host)), str(base), layout.machine(host), host, layout.name),
        *map(str, cgroups),
    ]


def run(*command: str, check: bool = True) -> int:
    """Run a tool to its end; when it must succeed and does not, the error has its words."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise LabFailed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.returncode


def _new_key(file: Path, comment: str) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file))


def _public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text()


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


class LabFailed(Exception):
    """A lab could not be made or reached."""
