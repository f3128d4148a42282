"""The process that owns a lab: makes it, boots and kills hosts when asked, and takes everything away at its end.

It ends when its owner does, whose process it watches, so nothing stays when the owner is killed. When the keeper
itself is killed, the hosts go with it (`boot_command`); the bridge, the empty cgroups and the folder go with the next
start, or with `down`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.lab import machine
from support.lab.layout import Layout
from support.lab.machine import LabFailed
from support.owned import end_of, serve
from support.processes import is_alive


class Keeper:
    """The hosts of a lab.

    Args:
        layout: of the lab; its folder is there.
        base: their common root file system.
    """

    def __init__(self, layout: Layout, base: Path) -> None:
        self._layout = layout
        self._base = base
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, host: str) -> None:
        """Boot a host that is off."""
        if self.pid(host):
            return
        cgroups = machine.make_cgroups(self._layout, host)
        with self._layout.console(host).open("ab") as console:
            self._processes[host] = subprocess.Popen(
                machine.boot_command(self._layout, host, self._base, cgroups),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    async def kill(self, host: str) -> None:
        """Switch a host off, as a power cut does; returns when nothing of it runs."""
        if process := self._processes.pop(host, None):
            process.kill()
            await asyncio.to_thread(process.wait)
            await asyncio.to_thread(machine.remove_cgroups, self._layout, host)
            await asyncio.to_thread(machine.remove_cables, self._layout, host)

    def pid(self, host: str) -> int:
        """Process id of what runs it; 0 while it is off."""
        process = self._processes.get(host)
        return process.pid if process and process.poll() is None else 0

    async def act(self, verb: str, host: str) -> int:
        """Do what `control.py` asks for; returns the host's process id."""
        if host not in self._layout.hosts:
            raise LabFailed(f"this lab has no host {host!r}")
        if verb == "start":
            self.start(host)
        elif verb == "kill":
            await self.kill(host)
        return self.pid(host)


async def keep(layout: Layout, base: Path, owner: int, on_ready: Callable[[], None]) -> None:
    """Run a lab until the process `owner` ends, or a signal asks to end.

    Args:
        layout: of the lab.
        base: the root file system of its hosts.
        owner: a process id, or 0 for nobody.
        on_ready: called when all hosts boot and requests are answered.
    """
    ending = end_of(owner)
    keeper = Keeper(layout, base)
    try:
        _make(layout)
        async with await serve(layout.socket, keeper.act):
            for host in layout.hosts:
                keeper.start(host)
            on_ready()
            await ending.wait()
    finally:
        await asyncio.gather(*(keeper.kill(host) for host in layout.hosts))
        sweep(layout)


def _make(layout: Layout) -> None:
    layout.folder.mkdir(parents=True)
    layout.folder.chmod(0o700)
    machine.make_key(layout)
    for host in layout.hosts:
        machine.make_host(layout, host)
    (layout.folder / "hosts.json").write_text(json.dumps(layout.hosts))
    machine.make_network(layout)


def sweep(layout: Layout) -> None:
    """Take away what a lab leaves when its hosts have ended."""
    machine.remove_network(layout)
    machine.remove_cgroups(layout)
    machine.remove_folder(layout)


@contextmanager
def held(layout: Layout) -> Iterator[None]:
    """Have a lab's index on this machine for oneself; nothing of an earlier lab is there then."""
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0{layout.name}")  # not a file, so every user's labs are seen, and it goes with the process
        except OSError:
            raise LabFailed(f"lab {layout.index} runs already") from None
        layout.pid_file.parent.mkdir(parents=True, exist_ok=True)
        layout.pid_file.write_text(str(os.getpid()))
        try:
            sweep(layout)
            yield
        finally:
            layout.pid_file.unlink(missing_ok=True)


def keeper_of(layout: Layout) -> int:
    """Id of the process that keeps a lab; 0 when there is none."""
    with suppress(FileNotFoundError, ValueError):
        pid = int(layout.pid_file.read_text())
        if is_alive(pid) and b"support.lab\0keep\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return 0
