"""Servers on this machine that speak the APIs of speech services, well or as badly as a test wants."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate

import h11

_BLOCK = 64 * 1024


@dataclass(frozen=True)
class Spoken:
    """A word that the server heard."""

    text: str
    start: float
    end: float


@dataclass
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def parts(self) -> dict[str, bytes]:
        """The fields of the form."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + self.body, policy=email.policy.HTTP)
        parts: dict[str, bytes] = {}
        for part in message.iter_parts():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            parts[str(part.get_param("name", header="content-disposition"))] = content
        return parts

    @property
    def fields(self) -> dict[str, str]:
        """Those that are short text."""
        return {name: content.decode() for name, content in self.parts.items() if len(content) < 1000}


@dataclass
class Wire:
    """A connection to a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER))

    async def receive(self) -> Seen | None:
        """The next request, or None at the end of the connection."""
        seen = None
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(await self.reader.read(_BLOCK))
            elif isinstance(event, h11.Request):
                headers = {name.decode(): value.decode() for name, value in event.headers}
                seen = Seen(event.method.decode(), event.target.decode(), headers)
            elif isinstance(event, h11.Data):
                assert seen
                seen.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return seen
            else:
                return None

    async def send(self, event: h11.Event) -> None:
        self.writer.write(self.http.send(event) or b"")
        await self.writer.drain()

    async def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        told = {"Content-Type": "application/json", "Content-Length": str(len(body))} | (headers or {})
        await self.send(h11.Response(status_code=status, headers=list(told.items())))
        await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())

    async def until_closed(self) -> None:
        while await self.reader.read(_BLOCK):
            pass

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Misbehaviour = Callable[[Wire, Seen], Awaitable[None]]


def says(status: int, body: object, **headers: str) -> Misbehaviour:
    """Answers with this, JSON unless it is text; header names are written with underscores."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    told = {name.replace("_", "-"): value for name, value in headers.items()}

    async def misbehave(wire: Wire, _seen: Seen) -> None:
        await wire.answer(status, content, told)

    return misbehave


def busy_for(seconds: float) -> Misbehaviour:
    """Names the date at which to come back."""

    async def misbehave(wire: Wire, seen: Seen) -> None:
        date = formatdate(time.time() + seconds, usegmt=True)
        await says(429, {"error": {"message": "slow down"}}, Retry_After=date)(wire, seen)

    return misbehave


async def hangs(wire: Wire, _seen: Seen) -> None:
    """Takes the request and says nothing, as long as the client waits."""
    await wire.until_closed()


async def resets(wire: Wire, _seen: Seen) -> None:
    """Breaks the connection in the middle of the answer."""
    await wire.send(h11.Response(status_code=200, headers=[("Content-Type", "application/json")]))
    await wire.send(h11.Data(data=b'{"text": "Ask not'))
    wire.reset()


async def never_ends(wire: Wire, _seen: Seen) -> None:
    """Sends an answer that has no end."""
    await wire.send(h11.Response(status_code=200, headers=[("Content-Type", "application/json")]))
    while not wire.writer.is_closing():
        await wire.send(h11.Data(data=b" " * _BLOCK))


async def trickles(wire: Wire, _seen: Seen) -> None:
    """Sends an answer that never stops but comes a byte at a time."""
    await wire.send(h11.Response(status_code=200, headers=[("Content-Type", "application/json")]))
    while not wire.writer.is_closing():
        await wire.send(h11.Data(data=b" "))
        await asyncio.sleep(0.02)


async def echoes_secrets(wire: Wire, seen: Seen) -> None:
    """Refuses the credentials, and says which they were."""
    told = " ".join(f"{name}: {value}" for name, value in seen.headers.items())
    await wire.answer(401, json.dumps({"error": {"message": f"these are wrong:\n{told}"}}).encode())


@dataclass
class SpeechServer:
    """What a test's server heard and answers, how it misbehaves, and what it was asked."""

    answer: Callable[[list[Spoken], str], object]
    health: object = field(default_factory=dict)
    words: list[Spoken] = field(default_factory=list)
    language: str = "en"
    address: str = ""
    refuses_early: bool = False  # before it has read the audio
    misbehaviours: list[Misbehaviour] = field(default_factory=list)  # one a request; then it behaves
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    closed: int = 0

    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        self.connections += 1
        wire = Wire(reader, writer)
        try:
            with suppress(ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
                if self.refuses_early:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    await wire.until_closed()  # as nginx lingers, so that the answer is not lost in a reset
                    return
                while seen := await wire.receive():
                    self.seen.append(seen)
                    await self._respond(wire, seen)
                    wire.http.start_next_cycle()
        finally:
            writer.transport.abort()
            self.closed += 1
            self._serving.discard(task)

    async def stop(self) -> None:
        """Break all connections."""
        await asyncio.sleep(0)  # those that were just made come to be known
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _respond(self, wire: Wire, seen: Seen) -> None:
        if self.misbehaviours:
            await self.misbehaviours.pop(0)(wire, seen)
            if wire.http.our_state is not h11.DONE:
                raise ConnectionAbortedError
        elif seen.method in {"GET", "OPTIONS"}:
            await wire.answer(200, json.dumps(self.health).encode())
        else:
            await wire.answer(200, json.dumps(self.answer(self.words, self.language)).encode())


@asynccontextmanager
async def serve_speech(server: SpeechServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[SpeechServer]:
    """Run it at a free port of this machine."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.address = f"{'https' if tls else 'http'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await server.stop()
