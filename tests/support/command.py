"""The real `v2t` command, as a process of its own in a home of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.processes import processes_about, until
from v2t.standalone import find_running

_SECONDS = 60.0
_PIPE_BYTES = 1 << 20  # so that a command is not held up while nobody reads what it says


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def complaint(self) -> str:
        """The last line on stderr, without the program's name; every line there must be a plain one."""
        lines = self.stderr.splitlines()
        assert lines, "nothing on stderr"
        assert all(line.startswith("v2t: ") for line in lines), self.stderr
        return lines[-1].removeprefix("v2t: ")


@dataclass
class Command:
    """Runs `v2t` with its data below `folder` and the run's shared models."""

    folder: Path
    models: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    python: str = sys.executable

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "V2T_STANDALONE__FOLDER": str(self.data),
            "V2T_MODELS__FOLDER": str(self.models),
            **self.extra,
        }

    def start(self, *arguments: str | Path, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start it as a shell does in a terminal: in a process group of its own."""
        return subprocess.Popen(
            [*self.prefix, self.python, "-P", "-m", "v2t", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.folder,
            process_group=0,
            pipesize=_PIPE_BYTES,
        )

    def run(self, *arguments: str | Path, seconds: float = _SECONDS) -> Outcome:
        return finish(self.start(*arguments), seconds)

    def leftovers(self) -> dict[int, str]:
        """Processes that have to do with this command's data."""
        return processes_about(str(self.folder))

    def assert_nothing_runs(self) -> None:
        asyncio.run(until(lambda: not self.leftovers(), f"everything ends: {self.leftovers()}"))

    def close(self) -> None:
        """End the cluster if it is kept up; fails when anything else still runs, after ending that too."""
        if find_running(Path(self.environment["V2T_STANDALONE__FOLDER"])):
            self.run("down")
        try:
            self.assert_nothing_runs()
        finally:
            for pid in self.leftovers():
                os.kill(pid, signal.SIGKILL)

    def drafts(self) -> list[Path]:
        """Files that are neither whole nor wanted any more."""
        scratch = self.data / "scratch", self.data / "objects" / ".incoming"
        return [path for place in scratch if place.exists() for path in place.rglob("*")]


def finish(process: subprocess.Popen[str], seconds: float = _SECONDS) -> Outcome:
    """Wait for the end; a process that does not come to one is killed."""
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(f"not within {seconds} s; it said:\n{stdout}\n{stderr}") from None
    finally:
        process.kill()  # where the wait is interrupted; nothing to one that has ended
    assert "Traceback" not in stderr, stderr
    return Outcome(process.returncode, stdout or "", stderr)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C: the terminal sends the signal to the whole process group."""
    os.killpg(process.pid, signal.SIGINT)
