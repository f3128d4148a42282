"""The workers that a host runs: found, started, ended. Here as processes of our own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from v2t.process.ports import LOOPBACK, free_port
from v2t.process.service import Service

_ASK_SECONDS = 2.0
_POLL_SECONDS = 0.1
_AFTER_DRAIN_SECONDS = 10.0
_QUICK_SECONDS = 15.0
_MOST_PAUSE_SECONDS = 60.0
_LOG_TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Instance:
    """One worker that runs."""

    name: str
    pid: int
    used_slots: int = 0
    total_slots: int = 0  # 0 while it starts
    lasts: bool = False  # whoever started it wants it to stay


class Instances(Protocol):
    """What runs workers on a host: processes of ours, or units of systemd."""

    async def running(self) -> Sequence[Instance]:
        """Those that run and have not been told to end, the oldest first; dead ones are forgotten."""
        ...

    async def start(self) -> None:
        """Start one more; where starting fails again and again it may wait, and start none."""
        ...

    async def stop(self, name: str) -> None:
        """Tell one to drain and end; do not wait for it."""
        ...

    async def close(self) -> None:
        """Nobody looks after them from now on: those that cannot live without are ended, and waited for."""
        ...


def worker_command() -> list[str]:
    """The argv of one worker."""
    return [sys.executable, "-P", "-m", "v2t", "worker", "run"]


class LocalProcesses:
    """Workers as processes that end with this one.

    Args:
        folder: for their logs.
        drain_seconds: how long a worker may take to end before it is killed.
        announce: told what an operator should know.
        command: the argv of one.
    """

    def __init__(
        self,
        folder: Path,
        drain_seconds: float,
        announce: Callable[[str], None],
        command: Sequence[str] | None = None,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._drain_seconds = drain_seconds
        self._announce = announce
        self._command = tuple(command or worker_command())
        self._alive: dict[str, _Process] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._number = 0
        self._pause_seconds = 0.0
        self._not_before = 0.0

    async def running(self) -> Sequence[Instance]:
        """See Instances."""
        for name, process in list(self._alive.items()):
            if process.service.exit_code is not None:
                self._bury(name, process)
        return await asyncio.gather(*(_describe(name, process) for name, process in self._alive.items()))

    async def start(self) -> None:
        """See Instances."""
        if time.monotonic() < self._not_before:
            return
        self._number += 1
        name = f"worker-{self._number}"
        port = free_port()
        environment = {"V2T_WORKER__HEALTH_ADDRESS": LOOPBACK, "V2T_WORKER__HEALTH_PORT": str(port)}
        service = Service(self._command, self._folder / f"{name}.log", environment)
        service.start()
        self._alive[name] = _Process(service, port, time.monotonic())
        self._announce(f"{name} starts: process {service.pid}, log {service.log}")

    async def stop(self, name: str) -> None:
        """See Instances."""
        process = self._alive.pop(name)
        self._announce(f"{name} ends: process {process.service.pid} drains")
        task = asyncio.create_task(self._end(process))
        self._ending[name] = task
        task.add_done_callback(lambda _task: self._ending.pop(name, None))

    async def close(self) -> None:
        """See Instances."""
        for name in list(self._alive):
            await self.stop(name)
        await asyncio.gather(*self._ending.values())

    def _bury(self, name: str, process: _Process) -> None:
        """Forget a dead one; those that die young are started again ever later."""
        del self._alive[name]
        words = _last_words(process.service.log)
        self._announce(f"{name} has died with code {process.service.exit_code}: {words}")
        if time.monotonic() - process.started_at > _QUICK_SECONDS:
            self._pause_seconds = 0.0
        else:
            self._pause_seconds = min(_MOST_PAUSE_SECONDS, 2 * self._pause_seconds or 1.0)
        self._not_before = time.monotonic() + self._pause_seconds

    async def _end(self, process: _Process) -> None:
        with suppress(ProcessLookupError):
            os.kill(process.service.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._drain_seconds + _AFTER_DRAIN_SECONDS
        while process.service.exit_code is None and time.monotonic() < deadline:  # noqa: ASYNC110 - as in Service
            await asyncio.sleep(_POLL_SECONDS)
        await process.service.stop()


@dataclass(frozen=True, slots=True)
class _Process:
    service: Service
    port: int
    started_at: float


async def _describe(name: str, process: _Process) -> Instance:
    total, used = await ask_slots(process.port)
    return Instance(name, process.service.pid, used, total)


async def ask_slots(port: int) -> tuple[int, int]:
    """Slots of a worker of this host for what its kind is for, all and used; none while it does not answer."""
    return await asyncio.to_thread(_ask_slots, port)


def _ask_slots(port: int) -> tuple[int, int]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (
        suppress(OSError, ValueError, KeyError, TypeError),
        opener.open(f"http://{LOOPBACK}:{port}/health", timeout=_ASK_SECONDS) as answer,
    ):
        facts = json.load(answer)
        asks = facts["kind"] == "remote" and "provider" in facts["slots"]
        slots = facts["slots"]["provider" if asks else "engine"]
        return int(slots["total"]), int(slots["used"])
    return 0, 0


def _last_words(log: Path) -> str:
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"see {log}"
    return f"see {log}"
