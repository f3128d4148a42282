"""A process that owns servers or hosts for others: when it ends, and how it is asked to do something with one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

Act = Callable[[str, str], Awaitable[int]]
"""Does the verb with what has the name; returns its process id, 0 while it does not run."""


def end_of(owner: int) -> asyncio.Event:
    """Set when a signal asks this process to end, or the process `owner` has ended; 0 for nobody."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ending.set)
    if owner:
        try:
            loop.add_reader(os.pidfd_open(owner), ending.set)
        except ProcessLookupError:  # it has ended already
            ending.set()
    return ending


def serve(path: Path, act: Act) -> Awaitable[asyncio.Server]:
    """Answer at a socket what `ask` asks there, one connection a request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        try:
            reply: dict[str, int | str] = {"pid": await act(request["verb"], request["name"])}
        except Exception as error:  # noqa: BLE001 - whoever asked must learn of it
            reply = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(reply).encode() + b"\n")
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    path.unlink(missing_ok=True)
    return asyncio.start_unix_server(answer, path)


def ask(path: Path, verb: str, name: str, seconds: float) -> int:
    """Have the owner do something; returns what it answers. Raises OwnerRefused with the owner's words."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(str(path))
        connection.sendall(json.dumps({"verb": verb, "name": name}).encode() + b"\n")
        reply = json.loads(connection.makefile().readline())
    if "error" in reply:
        raise OwnerRefused(reply["error"])
    return int(reply["pid"])


class OwnerRefused(Exception):
    """The owner could not do it."""
