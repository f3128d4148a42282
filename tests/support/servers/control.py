"""Using a set of servers from any process and thread: its addresses, and a handle for each server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from support.owned import ask
from support.processes import TESTS, age_seconds, is_alive
from support.servers import minio, postgresql, redis, temporal
from support.servers.layout import Layout, read_layout

_START_SECONDS = 90.0
_POLL_SECONDS = 0.02
_REPLY_SECONDS = 60.0

_REUNION_SECONDS = 35.0
"""MinIO's nodes write to one that came back at once, but read from it only when their next look at it succeeds; the
looks lie up to 30 seconds apart (`exponentialBackoffWait` of its REST client). Until then the loss of another node is a
second loss at the same time, which three nodes do not bear: what was written just now is said not to exist."""


class Server:
    """One server of a set. Every call waits until it is so.

    Args:
        name: what its keeper calls it, and its log.
        layout: of its set.
        is_ready: whether it serves.
    """

    def __init__(self, name: str, layout: Layout, is_ready: Callable[[], bool]) -> None:
        self.name = name
        self.is_ready = is_ready
        self.log = layout.folder / f"{name}.log"
        self._socket = layout.folder / "keeper.socket"

    @property
    def pid(self) -> int:
        """Process id; 0 while it does not run."""
        return self._ask("pid")

    def kill(self) -> None:
        """End it by `kill -9`, with its child processes; its data stays."""
        self._ask("kill")

    def stop(self) -> None:
        """End it in order."""
        self._ask("stop")

    def launch(self) -> None:
        """Start it if it does not run, and do not wait until it serves."""
        self._ask("launch")

    def start(self) -> None:
        """Start it on its old port and data, if it does not run, and wait until it serves."""
        self.launch()
        self.wait_ready()

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wait_ready(self, seconds: float = _START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            assert self.pid, f"{self.name} has ended:\n{self.log.read_text(errors='replace')[-2000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not ready within {seconds} s; see {self.log}"
            time.sleep(_POLL_SECONDS)

    def _ask(self, verb: str) -> int:
        return ask(self._socket, verb, self.name, _REPLY_SECONDS)


class Servers:
    """A set of servers that runs.

    `layout` has addresses and secrets; `environment` is what makes v2t use the set.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.environment = layout.environment
        self.postgresql = Server("postgresql", layout, partial(postgresql.is_ready, layout))
        self.redis = Server("redis", layout, partial(redis.is_ready, layout))
        self.temporal = Server("temporal", layout, partial(temporal.is_ready, layout))
        self.minio = tuple(
            Server(f"minio-{node}", layout, partial(minio.is_ready, layout, node))
            for node in range(1, len(layout.minio_ports) + 1)
        )

    @property
    def all(self) -> tuple[Server, ...]:
        return self.postgresql, self.redis, *self.minio, self.temporal

    def heal(self) -> None:
        """Start whatever does not run, and wait until all of it serves and bears the loss of another part."""
        for server in self.all:
            server.launch()
        for server in self.all:
            server.wait_ready()
        ages = [age_seconds(node.pid) for node in self.minio]
        if min(ages) < _REUNION_SECONDS and max(ages) > min(ages) + 5:  # else they came up together
            time.sleep(_REUNION_SECONDS - min(ages))

    def new_database(self) -> str:
        """The URL of an empty database, which only the caller uses."""
        name = f"v2t_{uuid.uuid4().hex}"
        import psycopg

        with psycopg.connect(self.layout.database_url(driver=""), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.layout.database_url(name)


@contextmanager
def running_servers(folder: Path | None = None) -> Iterator[Servers]:
    """Run a set of servers of one's own, which may be killed at will; nothing of it outlives this process.

    Args:
        folder: where it keeps its data; it is removed at the end. Others must be able to enter the folders above it
            when root runs the tests, because PostgreSQL then runs as another user.
    """
    place = folder or Path(tempfile.mkdtemp(prefix="v2t-servers-"))
    keeper = start_keeper(place, os.getpid())
    try:
        yield Servers(read_layout(place))
    finally:
        end_keeper(keeper.pid, place)
        keeper.wait()


def start_keeper(folder: Path, owner: int) -> subprocess.Popen[bytes]:
    """Start a keeper that ends with the process `owner`; returns when all servers serve."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}.log"
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "support.servers", "--folder", str(folder), "--owner", str(owner)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env={**_without_settings(), "PYTHONPATH": str(TESTS)},
            start_new_session=True,
        )
    assert keeper.stdout
    with keeper.stdout:
        said = keeper.stdout.read()  # it closes this when it is ready, or ends
    words = log.read_text(errors="replace")
    log.unlink()
    if said != b"ready\n":
        keeper.kill()
        keeper.wait()
        shutil.rmtree(folder, ignore_errors=True)
        raise AssertionError(f"the servers did not start:\n{words}")
    return keeper


def end_keeper(pid: int, folder: Path) -> None:
    """End a keeper and its servers, and remove their folder."""
    if is_alive(pid):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _REPLY_SECONDS
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def _without_settings() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("V2T_") or name.startswith("V2T_ARTIFACTS")
    }
