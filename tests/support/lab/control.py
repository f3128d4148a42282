"""Using a lab from any process: commands on its hosts, an inventory for Ansible, faults."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import testinfra
import testinfra.host
import yaml

from support.lab import machine
from support.lab.keeper import held, keeper_of
from support.lab.layout import USER, Layout
from support.lab.machine import LabFailed
from support.lab.systems import DEFAULT_SYSTEM
from support.owned import ask
from support.processes import TESTS, is_alive
from v2t.cluster.machines import SERVICES

HOSTS = ("m2", "m4-1", "m4-2")

_KEEP = (sys.executable, "-m", "support.lab", "keep")
_BOOT_SECONDS = 60.0
_END_SECONDS = 120.0
"""Hosts end in a second; on a machine that is busy with other things they take longer."""

_REPLY_SECONDS = 30.0
_POLL_SECONDS = 0.05


class Result(NamedTuple):
    """Of a command on a host."""

    code: int
    output: str
    """What it wrote to both streams, without space at the ends."""


class Host:
    """One host of a lab. Every call waits until it is so.

    Args:
        name: in the lab.
        layout: of the lab.
    """

    def __init__(self, name: str, layout: Layout) -> None:
        self.name = name
        self.address = layout.address(name)
        self._layout = layout

    @property
    def pid(self) -> int:
        """Of the process on this machine that runs it; 0 while it is off."""
        return self._ask("pid")

    @property
    def variables(self) -> dict[str, str]:
        """Of Ansible, which it needs to reach the host as the ordinary user."""
        return {
            "ansible_host": self.address,
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(self._layout.key),
            "ansible_ssh_common_args": " ".join(self._ssh_options()),
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def run(self, command: str, *, user: str = "root", timeout: float = 120.0) -> Result:
        """Run a shell command; exit code 255 says that the host was not reached.

        Args:
            command: of the shell.
            user: root, or `operator`, who has sudo.
            timeout: in seconds, after which the command is left alone and `subprocess.TimeoutExpired` raised.
        """
        done = subprocess.run(
            self.ssh_command(command, user=user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout.strip())

    def read(self, command: str, *, user: str = "root") -> str:
        """What a command says that must succeed."""
        result = self.run(command, user=user)
        assert result.code == 0, f"{self.name}: `{command}` ended with {result.code}: {result.output}"
        return result.output

    @property
    def facts(self) -> testinfra.host.Host:
        """What can be asked of it by name: users, files, services and more."""
        return testinfra.get_host(
            f"ssh://root@{self.address}",
            ssh_identity_file=str(self._layout.key),
            ssh_extra_args=" ".join(["-F", "none", *self._ssh_options()]),
            controlpersist=0,
        )

    def ssh_command(self, *command: str, user: str = "root") -> list[str]:
        """Runs a command on the host, or a shell for a person."""
        key = str(self._layout.key)
        return ["ssh", "-F", "none", *self._ssh_options(), "-i", key, f"{user}@{self.address}", *command]

    def _ssh_options(self) -> list[str]:
        """The host's key is known and checked, as it is in earnest."""
        return [
            f"-oUserKnownHostsFile={self._layout.known_hosts}",
            "-oGlobalKnownHostsFile=none",
            "-oStrictHostKeyChecking=yes",
            "-oIdentitiesOnly=yes",
            "-oBatchMode=yes",
            "-oConnectTimeout=5",
            "-oLogLevel=ERROR",
        ]

    def kill(self) -> None:
        """Cut its power: every process ends at once; what it wrote stays."""
        self._ask("kill")

    def poweroff(self) -> None:
        """Shut it down in order."""
        self.run("systemctl poweroff")
        deadline = time.monotonic() + _BOOT_SECONDS
        while self.pid:
            assert time.monotonic() < deadline, f"{self.name} does not shut down; see {self._layout.console(self.name)}"
            time.sleep(_POLL_SECONDS)
        self._ask("kill")  # what lingers in its cgroups

    def start(self) -> None:
        """Switch it on if it is off, and wait until it is up."""
        self._ask("start")
        self.wait_ready()

    def wait_ready(self, seconds: float = _BOOT_SECONDS) -> None:
        """Wait until it has booted and lets us in."""
        deadline = time.monotonic() + seconds
        while not (self._listens() and self.run("systemctl is-system-running --wait").code in {0, 1}):
            console = self._layout.console(self.name)
            assert self.pid, f"{self.name} has ended:\n{console.read_text(errors='replace')[-2000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not up within {seconds} s; see {console}"
            time.sleep(_POLL_SECONDS)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection((self.address, 22), timeout=1):
            return True
        return False

    def _ask(self, verb: str) -> int:
        return ask(self._layout.socket, verb, self.name, _REPLY_SECONDS)


class Lab:
    """A lab that runs."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.hosts = {name: Host(name, layout) for name in layout.hosts}

    def host(self, name: str) -> Host:
        return self.hosts[name]

    def cut(self, name: str) -> None:
        """Pull a host's network cable; it is in again after `join`, or when the host is switched on."""
        machine.run("ip", "link", "set", self.layout.interface(name), "down")

    def join(self, name: str) -> None:
        """Put it back, and wait until the host is reached."""
        machine.run("ip", "link", "set", self.layout.interface(name), "up")
        self.hosts[name].wait_ready()

    def inventory(self, folder: Path) -> Path:
        """Write `hosts.yml` for Ansible: m2 is in each group of `control`, and every other host is a worker.

        Args:
            folder: of the inventory; made if it is not there.
        """
        children = _groups(self.layout.hosts)
        variables = {name: host.variables for name, host in self.hosts.items()}
        tree = {"all": {"hosts": variables, "children": {"v2t": {"children": children}}}}
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "hosts.yml"
        file.write_text(yaml.safe_dump(tree, sort_keys=False, width=1000))
        return file


def _groups(hosts: Sequence[str]) -> dict[str, object]:
    control = [host for host in hosts if host == "m2"]
    workers = [host for host in hosts if host != "m2"]
    return {"control": {"children": {name: _members(control) for name in SERVICES}}, "workers": _members(workers)}


def _members(hosts: Sequence[str]) -> dict[str, object]:
    return {"hosts": {host: {} for host in hosts}} if hosts else {}


@contextmanager
def running_lab(index: int = 0, hosts: Sequence[str] = HOSTS, system: str = DEFAULT_SYSTEM) -> Iterator[Lab]:
    """Run a lab of one's own; nothing of it outlives this process, not even when it is killed.

    Args:
        index: 0 to 9; on one machine, one lab an index.
        hosts: `m2`, and `m4-1` to `m4-9`.
        system: that they run, of `SYSTEMS`.
    """
    lab = start_lab(index, hosts, system, owner=os.getpid())
    try:
        yield lab
    finally:
        end_lab(index)


def start_lab(
    index: int, hosts: Sequence[str], system: str = DEFAULT_SYSTEM, *, owner: int = 0, log: int | None = None
) -> Lab:
    """Start a lab; returns when all of its hosts have booted.

    Args:
        index: 0 to 9.
        hosts: their names.
        system: that they run, of `SYSTEMS`.
        owner: id of the process with which it ends; 0 for nobody.
        log: where the keeper tells what it does until the hosts boot; else this is told only when it fails.
    """
    layout = Layout(index, tuple(hosts))
    with tempfile.TemporaryFile() as words:
        keeper = subprocess.Popen(
            [*_KEEP, f"--index={index}", f"--hosts={','.join(hosts)}", f"--system={system}", f"--owner={owner}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words if log is None else log,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            start_new_session=True,
        )
        assert keeper.stdout
        try:
            with keeper.stdout:
                said = keeper.stdout.read()  # it closes this when it is ready, or ends
        except BaseException:
            keeper.terminate()
            raise
        if said != b"ready\n":
            keeper.wait()
            words.seek(0)
            raise LabFailed(f"the lab did not start\n{words.read().decode(errors='replace')}".strip())
    keeper.returncode = 0  # it is ended by its id, and must not be warned of when it outlives us
    lab = Lab(layout)
    try:
        for host in lab.hosts.values():
            host.wait_ready()
    except BaseException:
        end_lab(index)
        raise
    return lab


def find_lab(index: int) -> Lab:
    """A lab that runs, whoever started it."""
    layout = Layout(index)
    file = layout.folder / "hosts.json"
    if not keeper_of(layout) or not file.exists():
        raise LabFailed(f"lab {index} does not run")
    return Lab(Layout(index, tuple(json.loads(file.read_text()))))


def end_lab(index: int) -> None:
    """End a lab, and take away what one that was killed has left."""
    layout = Layout(index)
    if pid := keeper_of(layout):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    with held(layout):
        pass  # which sweeps
