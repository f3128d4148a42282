"""Real `v2t worker run` processes for a set of real servers, each with a machine's disk of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from support.processes import children_of
from v2t.process.ports import free_port

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05
_SETTLE_SECONDS = 0.5


class WorkerProcess:
    """One worker, on a "machine" that is a folder.

    Args:
        host: the machine's name.
        folder: the machine's disk.
        environment: of the cluster and the test.
        prefix: a command that runs the worker's command, such as `faketime`.
    """

    def __init__(self, host: str, folder: Path, environment: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
        self.host = host
        self.folder = folder
        self.cache = folder / "cache"
        self.log = folder / "worker.log"
        self.port = free_port()
        self._prefix = prefix
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "V2T_WORKER__HOST": host,
            "V2T_WORKER__HEALTH_ADDRESS": "127.0.0.1",
            "V2T_WORKER__HEALTH_PORT": str(self.port),
            "V2T_CACHE__FOLDER": str(self.cache),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def start(self) -> None:
        """Start it and do not wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._prefix, sys.executable, "-P", "-m", "v2t", "--verbose", "worker", "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until it takes work."""
        self.wait_until(lambda: self.answer("/ready")[0] == 200, "it is ready")

    def wait_until(self, condition: Callable[[], object], what: str, seconds: float = _READY_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            words = self.log.read_text(errors="replace")[-3000:]
            assert self.process and self.process.poll() is None, f"the worker {self.host} has ended:\n{words}"
            assert time.monotonic() < deadline, f"{self.host}: not within {seconds:.0f} s: {what}\n{words}"
            time.sleep(_POLL_SECONDS)

    def answer(self, path: str) -> tuple[int, str]:
        """What its health server says; (0, "") when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.answer("/health")[1] or "{}")
        return found

    def engine_slots_used(self) -> int:
        """How many chunks it holds now."""
        used: int = self.health()["slots"]["engine"]["used"]
        return used

    def hold_a_chunk(self) -> None:
        """Wait until it computes a chunk and see to it that it does not finish it: its children are frozen."""
        while True:
            self.wait_until(self.engine_slots_used, "it computes")
            children = list(children_of(self.pid))
            _signal(children, signal.SIGSTOP)
            time.sleep(_SETTLE_SECONDS)  # a result that was on its way is stored by now
            if self.engine_slots_used():
                return
            _signal(children, signal.SIGCONT)

    def kill(self) -> None:
        """As a power cut: the worker and its children at once."""
        _signal((self.pid, *children_of(self.pid)), signal.SIGKILL)
        assert self.process
        self.process.wait()

    def stop(self) -> int:
        """As an operator: SIGTERM. Answers the exit code."""
        assert self.process
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGTERM)
        return self.process.wait(timeout=_READY_SECONDS)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def running_workers(*workers: WorkerProcess) -> Iterator[None]:
    """The workers run and are ready while the body runs; at the end each is killed."""
    with ExitStack() as stack:
        for worker in workers:
            worker.start()
            stack.callback(_end, worker)
        for worker in workers:
            worker.wait_ready()
        yield


def _end(worker: WorkerProcess) -> None:
    if worker.process and worker.process.poll() is None:
        worker.kill()
