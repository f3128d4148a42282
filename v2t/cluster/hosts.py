"""The hosts of an inventory as SSH reaches them: argument lists, and commands that run on several at once."""

from __future__ import annotations

import os
import queue
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2t.cluster.ansible import PlaybookOptions, call, complaint, find_program, playbook_command
from v2t.cluster.initialization import HOSTS
from v2t.cluster.inventory import ansible_environment
from v2t.cluster.progress import Run
from v2t.cluster.shipped import shipped
from v2t.domain.errors import HostUnreachable, InventoryInvalid, UsageError

UNREACHABLE = 255
"""Exit code of ssh where it is not the command's."""

_AT_ONCE = 20
_READ_SECONDS = 2.0
_ADDRESS = re.compile(r"[^\s\x00-\x1f-][^\s\x00-\x1f]*")
_CHECKED = ("-o", "StrictHostKeyChecking=yes", "-o", "ControlMaster=no")
"""Before the inventory's own options, as the first of two counts: no host is believed unseen, no connection stays."""

_PATIENCE = ("-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3")


@dataclass(frozen=True, slots=True)
class Host:
    """One of the inventory, and how it is reached."""

    name: str
    groups: Sequence[str] = ()
    address: str = ""
    port: int | None = None
    user: str = ""
    key: str = ""
    options: Sequence[str] = ()
    """More arguments of ssh, as the inventory or Ansible's settings have them."""
    is_local: bool = False
    """It is this machine, and commands run here."""
    is_drained: bool = False
    """The inventory says that no worker is to run there for now."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command did on a host."""

    host: str
    exit_code: int
    stdout: str = ""
    stderr: str = ""

    def unreachable(self) -> HostUnreachable | None:
        """The error of a host that ssh did not reach."""
        if self.exit_code != UNREACHABLE:
            return None
        lines = self.stderr.strip().splitlines()
        return unreachable(self.host, lines[-1] if lines else "ssh said nothing")


def unreachable(host: str, reason: str) -> HostUnreachable:
    """The error of a host that does not answer, with the next step."""
    return HostUnreachable(f"{host}: {reason.strip()}; `v2t cluster doctor` looks at every host")


def read_hosts(folder: Path, password: Path | None) -> list[Host]:
    """Let Ansible say how it reaches the hosts: expressions, ansible.cfg and environment count as they do for it.

    Args:
        folder: of the inventory.
        password: file of its vault's password.

    Raises:
        AnsibleNotInstalled: its program is not there.
        InventoryInvalid: it cannot be read, or has a host that ssh must not be given.
    """
    playbook = shipped("playbooks") / "reach.yml"
    command = playbook_command(find_program("ansible-playbook"), folder / HOSTS, playbook, PlaybookOptions())
    shown = call(command, ansible_environment(folder, password))
    run = Run()
    for line in shown.stdout.splitlines():
        run.feed(line, 0.0)
    failures = run.failures()
    if failures or shown.returncode:
        reason = str(failures[0]) if failures else complaint(shown.stderr)
        raise InventoryInvalid(f"{folder / HOSTS} cannot be read: {reason}; `v2t cluster validate` says more")
    return [parse_host(name, told) for name, told in sorted(run.told.items())]


def parse_host(name: str, told: Mapping[str, Any]) -> Host:
    """A host from what playbooks/reach.yml says of it.

    Raises:
        InventoryInvalid: its address, port or options are none.
    """
    reached = {key: value or "" for key, value in told["reached"].items()}
    address = str(reached["host"])
    if not _ADDRESS.fullmatch(address):
        raise InventoryInvalid(f"{name}: ansible_host {address!r} is no address")
    try:
        port = int(reached["port"]) if reached["port"] else None
        options = [word for key in _OPTIONS for word in shlex.split(str(reached[key]))]
    except ValueError as error:
        raise InventoryInvalid(f"{name}: the SSH settings of the inventory are not valid: {error}") from error
    return Host(
        name,
        tuple(told["groups"]),
        address,
        port,
        str(reached["remote_user"]),
        str(reached["private_key_file"]),
        tuple(options),
        bool(told["local"]),
        bool(told["drained"]),
    )


_OPTIONS = ("ssh_args", "ssh_common_args", "ssh_extra_args")


def choose_hosts(hosts: Sequence[Host], named: Iterable[str]) -> list[Host]:
    """Those that are named, or in a group that is; all where nothing is named.

    Raises:
        UsageError: a name is neither a host's nor a group's.
    """
    wanted = list(named)
    known = {name for host in hosts for name in (host.name, *host.groups)}
    for name in wanted:
        if name not in known:
            raise UsageError(f"the inventory has no host or group {name!r}; it has {', '.join(sorted(known))}")
    return [host for host in hosts if not wanted or {host.name, *host.groups} & set(wanted)]


def ssh_command(host: Host, command: str = "", *, terminal: bool = False) -> list[str]:
    """The argument list that runs a command line of `sh` on a host; without one, a login.

    Args:
        host: nothing of it can become an option that the inventory did not write as one.
        command: as a shell reads it.
        terminal: whether a person sits before it, who may be asked and sees it at once.
    """
    if host.is_local:
        return ["sh", "-c", command] if command else ["sh", "-il"]
    return [
        *("ssh", *_CHECKED),
        *(() if terminal else ("-T", "-o", "BatchMode=yes")),
        *(("-t",) if terminal and command else ()),
        *host.options,
        *_PATIENCE,
        *(("-p", str(host.port)) if host.port else ()),
        *(("-l", host.user) if host.user else ()),
        *(("-i", host.key) if host.key else ()),
        *("--", host.address),
        *((f"sh -c {shlex.quote(command)}",) if command else ()),
    ]


def as_root(command: str) -> str:
    """The command line, by sudo where the account is not root, and without a question."""
    return f'set --; [ "$(id -u)" = 0 ] || set -- sudo --non-interactive; exec "$@" {command}'


def ask(host: Host, command: str, *, standard_input: str = "", seconds: float | None = None) -> Answer:
    """Run a command line on a host to its end.

    Args:
        host: which.
        command: as a shell reads it.
        standard_input: what it reads.
        seconds: after which the host counts as unreachable.
    """
    try:
        done = subprocess.run(
            ssh_command(host, command),
            input=standard_input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(host.name, UNREACHABLE, stderr=f"it has not answered within {seconds:.0f} s")
    except FileNotFoundError:
        return Answer(host.name, UNREACHABLE, stderr="ssh is not installed on this machine")
    return Answer(host.name, done.returncode, done.stdout, done.stderr)


def ask_all(
    hosts: Sequence[Host], command: str, *, standard_input: str = "", seconds: float | None = None
) -> list[Answer]:
    """The same on several hosts at once, in their order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda host: ask(host, command, standard_input=standard_input, seconds=seconds), hosts))


def stream(hosts: Sequence[Host], command: str, on_line: Callable[[Host, str], None]) -> list[Answer]:
    """Run a command line on several hosts at once, and hand on every line of theirs as it comes.

    Args:
        hosts: which.
        command: as a shell reads it.
        on_line: called with the host and the line, from this thread; of stdout and stderr alike.

    Returns:
        How it ended on each; a host's last line stands for its stderr.
    """
    said: queue.Queue[tuple[Host, str | None]] = queue.Queue()
    last: dict[str, str] = {}
    started = [_start(host, command, said) for host in hosts]
    try:
        open_count = len(started)
        while open_count:
            host, line = said.get()
            if line is None:
                open_count -= 1
            else:
                last[host.name] = line
                on_line(host, line)
        codes = [process.wait() for process, _ in started]
    finally:
        for process, reader in started:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()
            reader.join(_READ_SECONDS)
    return [Answer(host.name, code, stderr=last.get(host.name, "")) for host, code in zip(hosts, codes, strict=True)]


def _start(
    host: Host, command: str, said: queue.Queue[tuple[Host, str | None]]
) -> tuple[subprocess.Popen[str], threading.Thread]:
    process = subprocess.Popen(
        ssh_command(host, command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                said.put((host, line.rstrip("\r\n")))
        said.put((host, None))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return process, reader
