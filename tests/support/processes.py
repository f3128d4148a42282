"""Looking at processes from outside."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
"""On a child's PYTHONPATH, it lets the child import `support`."""


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def age_seconds(pid: int) -> float:
    """How long a process that runs has run: proc_pid_stat(5), field 22."""
    started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


async def until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Wait until the condition holds; fails, saying `what`, if it does not within the time."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


def wait_for(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """The same for a test without a loop."""
    asyncio.run(until(condition, what, seconds))


async def until_gone(pid: int, seconds: float = 5.0) -> None:
    await until(lambda: not is_alive(pid), f"process {pid} ends", seconds)


def processes_about(text: str) -> dict[int, str]:
    """Processes, besides this one, that have `text` in their command line or environment: id → command line."""
    return {pid: command for pid, command in _others() if text in command or text in _read(pid, "environ")}


def children_of(parent: int) -> dict[int, str]:
    """The direct children of a process: id → command line."""
    return {
        pid: command
        for pid, command in _others()
        if _read(pid, "stat").rpartition(")")[2].split()[1:2] == [str(parent)]
    }


def _others() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid() and is_alive(int(folder.name)):
            yield int(folder.name), _read(int(folder.name), "cmdline").replace("\0", " ").strip()


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
