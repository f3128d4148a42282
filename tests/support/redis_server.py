"""A Redis of one test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis, RedisError

PASSWORD = "open-sesame"  # noqa: S105 - of a server that lives as long as a test


class RedisServer:
    """It listens on a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._settings = folder / "redis.conf"
        self._settings.write_text(
            f'port 0\nunixsocket {self._socket}\nrequirepass {PASSWORD}\ndir {folder}\nsave ""\nappendonly no\n'
        )
        self.start()

    @property
    def url(self) -> str:
        return f"unix://:{PASSWORD}@{self._socket}"

    def client(self) -> Redis:
        return Redis.from_url(self.url, socket_timeout=5)

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "Redis is not installed"
        self.process = subprocess.Popen([program, str(self._settings)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                with self.client() as client:
                    client.ping()
                    return
            except RedisError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.unlink(missing_ok=True)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="v2t-redis-") as folder:  # a socket's path must be short
        server = RedisServer(Path(folder))
        yield server
        server.kill()
