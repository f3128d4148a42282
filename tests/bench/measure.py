"""Run a command as a whole process; its wall time, and the memory of its process tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SAMPLE_SECONDS = 0.25
_KIB = 1024


@dataclass(frozen=True)
class Run:
    stdout: str
    seconds: float
    peak_bytes: int  # proportional set size of the whole tree; 0 unless asked for


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, *, memory: bool = False) -> Run:
    """Run to the end; fail loudly when it fails."""
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    peak = _Peak(process.pid) if memory else None
    stdout, stderr = process.communicate()
    seconds = time.monotonic() - started
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}:\n{stderr}")
    return Run(stdout, seconds, peak.stop() if peak else 0)


def run_json(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[dict[str, Any], float]:
    """Run a command that prints JSON; the document and the wall time."""
    finished = run(command, environment)
    return json.loads(finished.stdout), finished.seconds


class _Peak:
    def __init__(self, root: int) -> None:
        self._root = root
        self._bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._bytes

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._bytes = max(self._bytes, sum(_memory(pid) for pid in _tree(self._root)))


def _tree(root: int) -> Iterable[int]:
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        try:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(child) for child in (thread / "children").read_text().split()]
        except OSError:
            continue


def _memory(pid: int) -> int:
    """Proportional set size: shared pages, such as a mapped library, count once over the tree."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * _KIB
    except (OSError, ProcessLookupError):
        pass
    return 0
