"""The process that owns a set of servers: starts them, kills and restarts them when asked, and takes them along.

Every server has a death signal, so none outlives the keeper; and the keeper ends with its owner, whose process it
watches. So `kill -9` of whatever leaves nothing running.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.owned import end_of, serve
from support.processes import children_of
from support.servers import minio, postgresql, redis, temporal
from support.servers.layout import Layout, make_layout
from support.servers.programs import Programs
from v2t.process.service import Service

START_SECONDS = 90.0
"""Time for one step of a start on a busy machine; what takes longer has failed."""
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class _Program:
    """One server: how it is started, and how one knows that it serves."""

    service: Service
    is_ready: Callable[[], bool]
    stop_signal: signal.Signals = signal.SIGTERM


class Keeper:
    """A set of servers in a folder.

    Args:
        layout: where they listen, with which secrets.
        programs: what they are started with.
    """

    def __init__(self, layout: Layout, programs: Programs) -> None:
        self.layout = layout
        self._tools = programs
        self._programs = {
            "postgresql": self._program(
                "postgresql",
                postgresql.server_command(layout, programs),
                lambda: postgresql.is_ready(layout),
                stop_signal=signal.SIGINT,  # ends sessions, then ends
            ),
            "redis": self._program("redis", redis.server_command(layout, programs), lambda: redis.is_ready(layout)),
            "temporal": self._program(
                "temporal", temporal.server_command(layout, programs), lambda: temporal.is_ready(layout)
            ),
        }
        for node in range(1, len(layout.minio_ports) + 1):
            self._programs[f"minio-{node}"] = self._minio(node)

    def _minio(self, node: int) -> _Program:
        command = minio.server_command(self.layout, self._tools, node)
        environment = minio.environment(self.layout, node)
        return self._program(f"minio-{node}", command, lambda: minio.is_ready(self.layout, node), environment)

    def _program(
        self,
        name: str,
        command: list[str],
        is_ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> _Program:
        service = Service(command, self.layout.folder / f"{name}.log", environment)
        return _Program(service, is_ready, stop_signal)

    async def bring_up(self) -> None:
        """Start everything, as much of it at once as can be, and return when all of it serves."""
        redis.prepare(self.layout)
        minio.prepare(self.layout)
        temporal.prepare(self.layout)
        stores = [name for name in self._programs if name not in {"postgresql", "temporal"}]
        for name in stores:
            self.launch(name)
        await asyncio.gather(self._bring_up_temporal(), *(self._until_ready(name) for name in stores))

    async def _bring_up_temporal(self) -> None:
        fresh = not postgresql.is_initialised(self.layout)
        if fresh:
            postgresql.prepare(self.layout)
            await _run(postgresql.initdb_command(self.layout, self._tools), self.layout.folder / "initdb.log")
            postgresql.configure(self.layout)
        self.launch("postgresql")
        await self._until_ready("postgresql")
        if fresh:
            await asyncio.to_thread(postgresql.set_up, self.layout)
            await self._make_schemas()
            postgresql.mark_initialised(self.layout)
        self.launch("temporal")
        await self._until("temporal", lambda: temporal.is_listening(self.layout))
        await asyncio.to_thread(temporal.set_up, self.layout)
        await self._until_ready("temporal")

    async def _make_schemas(self) -> None:
        environment = temporal.schema_environment(self.layout)

        async def make(database: str, commands: list[list[str]]) -> None:
            for command in commands:
                await _run(command, self.layout.folder / f"{database}.schema.log", environment)

        schemas = temporal.schema_commands(self.layout, self._tools)
        await asyncio.gather(*(make(database, commands) for database, commands in schemas.items()))

    def launch(self, name: str) -> None:
        """Start a server that does not run; it is not ready at once."""
        service = self._programs[name].service
        if service.pid == 0 or service.exit_code is not None:
            service.start()

    async def kill(self, name: str) -> None:
        """End a server and its child processes at once, as a power cut does."""
        service = self._programs[name].service
        children = children_of(service.pid) if service.pid else {}
        await service.stop()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    async def stop(self, name: str) -> None:
        """End a server in order; by force when that takes too long."""
        program = self._programs[name]
        if program.service.pid and program.service.exit_code is None:
            os.kill(program.service.pid, program.stop_signal)
            with suppress(TimeoutError):
                await _until(lambda: program.service.exit_code is not None, _STOP_SECONDS)
        await self.kill(name)

    def pid(self, name: str) -> int:
        """Process id; 0 while it does not run."""
        service = self._programs[name].service
        return service.pid if service.exit_code is None else 0

    async def shut_down(self, *, keep_data: bool) -> None:
        """End everything; data that is kept survives the kill, but is opened faster after an orderly end."""
        if keep_data:
            await self.kill("temporal")  # its sessions would hold the database up
            await self.stop("postgresql")
        await asyncio.gather(*(self.kill(name) for name in self._programs))

    async def _until_ready(self, name: str) -> None:
        await self._until(name, self._programs[name].is_ready)

    async def _until(self, name: str, condition: Callable[[], bool]) -> None:
        service = self._programs[name].service
        deadline = time.monotonic() + START_SECONDS
        while not await asyncio.to_thread(condition):
            if service.exit_code is not None:
                raise ServerFailed(f"{name} ended with {service.exit_code}:\n{_last_words(service.log)}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{name} is not ready in {START_SECONDS:.0f} s:\n{_last_words(service.log)}")
            await asyncio.sleep(_POLL_SECONDS)


class ServerFailed(Exception):
    """A server did not start; the message has its last words."""


async def keep(
    folder: Path, programs: Programs, owner: int, on_ready: Callable[[Layout], None], *, keep_data: bool
) -> None:
    """Run a set of servers in `folder` until the process `owner` ends, or a signal asks to end.

    Args:
        folder: it is there, and has a set of servers, or nothing.
        programs: what they are started with.
        owner: a process id, or 0 for nobody.
        on_ready: called when all of them serve.
        keep_data: else the folder is removed at the end.
    """
    ending = end_of(owner)
    keeper = Keeper(make_layout(folder), programs)
    try:
        work = asyncio.create_task(_serve(keeper, on_ready))
        end = asyncio.create_task(ending.wait())
        await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if not work.done():
            work.cancel()
        with suppress(asyncio.CancelledError):
            await work
    finally:
        await keeper.shut_down(keep_data=keep_data)
        if not keep_data:
            shutil.rmtree(folder, ignore_errors=True)


async def _serve(keeper: Keeper, on_ready: Callable[[Layout], None]) -> None:
    """Bring the servers up, then do what `control.py` asks for, one connection a request."""
    await keeper.bring_up()
    socket = keeper.layout.folder / "keeper.socket"
    server = await serve(socket, partial(_act, keeper))
    async with server:
        socket.chmod(0o600)
        on_ready(keeper.layout)
        await server.serve_forever()


async def _act(keeper: Keeper, verb: str, server: str) -> int:
    if verb == "launch":
        keeper.launch(server)
    elif verb == "kill":
        await keeper.kill(server)
    elif verb == "stop":
        await keeper.stop(server)
    return keeper.pid(server)


async def _run(command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a tool to its end."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
        if code := await process.wait():
            raise ServerFailed(f"{command[0]} ended with {code}:\n{_last_words(log)}")


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it is another process that changes it
            await asyncio.sleep(_POLL_SECONDS)


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
