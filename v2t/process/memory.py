"""How much memory a process really uses.

Limits on address space (RLIMIT_AS, RLIMIT_DATA) cannot bound an engine: on some processors Intel's MKL reserves several
times the model's size and writes to a tenth of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

_KIB = 1024
_PRIVATE = ("RssAnon:", "VmSwap:")  # of proc_pid_status(5), in KiB
_LOOKS_SECONDS = 0.2


def private_bytes(pid: int) -> int:
    """What a process has written that no file holds, in memory and in swap; 0 where the system does not say."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) * _KIB for line in lines if line.startswith(_PRIVATE))
    return 0


def family_bytes(pid: int) -> int:
    """The same for a process and those that it has started, where the system tells which these are."""
    return private_bytes(pid) + sum(family_bytes(child) for child in _children(pid))


def _children(pid: int) -> list[int]:
    with suppress(OSError):  # proc_pid_task(5); not every kernel is built with it
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


async def goes_over(pid: int, limit_bytes: int) -> None:
    """Return when the process and its children use more than that; they are looked at five times a second."""
    while family_bytes(pid) <= limit_bytes:  # noqa: ASYNC110 - nothing tells that a process has grown
        await asyncio.sleep(_LOOKS_SECONDS)
