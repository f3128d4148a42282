"""A PostgreSQL server by itself, for tests that need no other server and end this one as they like."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from support.processes import wait_for
from support.servers import postgresql
from support.servers.layout import Layout, make_layout
from support.servers.programs import find_programs
from v2t.process.service import Service


class LonePostgresql:
    """A server that runs, with the role `v2t`, which may make databases."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._service = Service(postgresql.server_command(layout, find_programs()), layout.folder / "postgresql.log")

    def start(self) -> None:
        """Start it and wait until it serves."""
        self._service.start()
        wait_for(self._serves, "PostgreSQL serves", seconds=60)

    def stop(self) -> None:
        """End it in order, and its sessions with it."""
        os.kill(self._service.pid, signal.SIGINT)
        wait_for(lambda: self._service.exit_code is not None, "PostgreSQL ends", seconds=60)

    def kill(self) -> None:
        """End it as a power cut does; its children notice and end."""
        asyncio.run(self._service.stop())

    def new_database(self) -> str:
        """The URL of an empty database, which only the caller uses."""
        name = f"v2t_{uuid.uuid4().hex}"
        with psycopg.connect(self.layout.database_url(driver=""), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.layout.database_url(name)

    def _serves(self) -> bool:
        assert self._service.exit_code is None, self._service.log.read_text()[-2000:]
        return postgresql.is_ready(self.layout)


@contextmanager
def lone_postgresql() -> Iterator[LonePostgresql]:
    """Run a server in a folder of its own; nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="v2t-postgresql-"))
    server: LonePostgresql | None = None
    try:
        layout = make_layout(folder)
        postgresql.prepare(layout)
        subprocess.run(
            postgresql.initdb_command(layout, find_programs()), check=True, stdout=subprocess.DEVNULL, timeout=120
        )
        postgresql.configure(layout)
        server = LonePostgresql(layout)
        server.start()
        postgresql.set_up(layout)
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)
