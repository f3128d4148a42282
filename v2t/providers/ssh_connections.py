"""Connections to the hosts of ssh_whisper: one each, kept, replaced when dead, with a limit of work for each host."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import fabric
import paramiko

from v2t.domain.errors import ProviderBusy, ProviderResting, ProviderUnreachable, V2TError
from v2t.providers.guard import Guard, HostAnswer
from v2t.providers.ssh_diagnosis import too_many_sessions
from v2t.providers.ssh_login import Host, close_connection

OpenConnection = Callable[[Host], fabric.Connection]
"""Connects and logs in; it blocks, and raises errors of ours."""

Answer = TypeVar("Answer")

_REST_SECONDS = 30.0
"""How long a host that failed is left alone while others work."""


@dataclass(slots=True)
class Place:
    """A host, its kept connection, and what goes on there."""

    host: Host
    connection: fabric.Connection | None = None
    in_use: int = 0
    failed_at: float = -_REST_SECONDS
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_well(self) -> bool:
        """Whether it did not fail lately."""
        return time.monotonic() - self.failed_at >= _REST_SECONDS


@dataclass(frozen=True, slots=True)
class Opened:
    """A new channel to a host, for one who has a place there."""

    host: Host
    connection: fabric.Connection
    channel: paramiko.Channel


class Connections:
    """The hosts, and a kept connection to each.

    Args:
        hosts: where there are places.
        open_connection: connects to one.
        limit: how many may work on a host at once.
        threads: runs what blocks.
    """

    def __init__(
        self, hosts: Sequence[Host], open_connection: OpenConnection, *, limit: int, threads: Executor
    ) -> None:
        self._places = [Place(host) for host in hosts]
        self._open_connection = open_connection
        self._limit = limit
        self._threads = threads
        self._room = asyncio.Event()
        self._guard: Guard | None = None

    def guard_hosts(self, guard: Guard) -> None:
        """See ChoosesHosts."""
        self._guard = guard
        guard.watch_hosts([str(place.host) for place in self._places])

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[Opened]:
        """A channel to the least busy host that can be reached; waits until one has room.

        Raises:
            ProviderError, ConfigurationError: no host could be used, and why.
        """
        refusals: dict[Host, V2TError] = {}
        while len(refusals) < len(self._places):
            place = await self._choose(refusals)
            try:
                opened = await self._open_guarded(place)
            except V2TError as error:
                self._leave(place)
                refusals[place.host] = error
                continue
            except BaseException:
                self._leave(place)
                raise
            try:
                async with self._told(place):
                    yield opened
            finally:
                self._end(opened, place)
            return
        raise refused_by_all(list(refusals.values()))

    async def survey(self, limit_seconds: float | None = None) -> list[HostAnswer]:
        """See which hosts can be reached now, each within the limit."""
        return list(await asyncio.gather(*(self._look(place, limit_seconds) for place in self._places)))

    async def _look(self, place: Place, limit_seconds: float | None) -> HostAnswer:
        started = time.monotonic()
        failure: V2TError | None = None
        try:
            async with asyncio.timeout(limit_seconds):
                opened = await self._open_channel(place)
            self._threads.submit(opened.channel.close)
        except TimeoutError:
            failure = ProviderUnreachable(f"{place.host} does not answer within {limit_seconds:g} s")
        except ProviderBusy:
            pass  # it works
        except V2TError as error:
            failure = error
        return HostAnswer(str(place.host), failure, time.monotonic() - started)

    def drop(self, connection: fabric.Connection) -> None:
        """Close a connection that does not answer any more; whatever else uses it ends too."""
        for place in self._places:
            if place.connection is connection:
                place.connection = None
        self._threads.submit(close_connection, connection)

    async def close(self) -> None:
        """Close all connections."""
        for place in self._places:
            async with place.opening:
                connection, place.connection = place.connection, None
            if connection:
                await self._run(close_connection, connection)

    async def _choose(self, refusals: Collection[Host]) -> Place:
        """Take a place on a host that did not refuse yet; one that failed lately only where there is no other."""
        while True:
            left = [place for place in self._places if place.host not in refusals]
            usable = [place for place in left if place.is_well] or left
            free = [place for place in usable if place.in_use < self._limit]
            if free:
                chosen = min(free, key=lambda place: place.in_use)
                chosen.in_use += 1
                return chosen
            self._room.clear()
            await self._room.wait()

    def _end(self, opened: Opened, place: Place) -> None:
        """Close a channel; its place is free again after that, which is not waited for."""
        closed = asyncio.wrap_future(self._threads.submit(opened.channel.close))
        closed.add_done_callback(lambda _: self._leave(place))

    def _leave(self, place: Place) -> None:
        place.in_use -= 1
        self._room.set()

    async def _open_guarded(self, place: Place) -> Opened:
        """As below, on a host that is not left alone."""
        if not self._guard:
            return await self._open_channel(place)
        await self._guard.begin(str(place.host))
        try:
            return await self._open_channel(place)
        except BaseException as error:
            await self._guard.end(str(place.host), error)
            raise

    @asynccontextmanager
    async def _told(self, place: Place) -> AsyncIterator[None]:
        """The guard is told how the body goes."""
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
            raise
        finally:
            if self._guard:
                await self._guard.end(str(place.host), failure)

    async def _open_channel(self, place: Place) -> Opened:
        """A channel on the kept connection; where that turns out to be dead, on a new one."""
        kept = place.connection
        connection = await self._connect(place)
        try:
            channel = await self._run(connection.transport.open_session, undo=lambda late: late.close())
        except paramiko.ChannelException as error:
            raise too_many_sessions(place.host) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.drop(connection)
            if connection is kept:
                return await self._open_channel(place)
            place.failed_at = time.monotonic()
            raise ProviderUnreachable(f"{place.host} broke the connection") from error
        return Opened(place.host, connection, channel)

    async def _connect(self, place: Place) -> fabric.Connection:
        async with place.opening:
            if place.connection and not place.connection.is_connected:
                self.drop(place.connection)
            if not place.connection:
                try:
                    place.connection = await self._run(self._open_connection, place.host, undo=close_connection)
                except V2TError:
                    place.failed_at = time.monotonic()
                    raise
                place.failed_at = -_REST_SECONDS
            return place.connection

    async def _run(
        self, call: Callable[..., Answer], *arguments: object, undo: Callable[[Answer], object] | None = None
    ) -> Answer:
        """Run what blocks in a thread; when cancelled, what comes of it later is undone."""
        running = self._threads.submit(call, *arguments)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if undo:
                running.add_done_callback(lambda done: None if _failed(done) else undo(done.result()))
            raise


def _failed(done: Future[Any]) -> bool:
    return done.cancelled() or done.exception() is not None


def refused_by_all(errors: Sequence[V2TError]) -> V2TError:
    """One error for all hosts, which is final only where that of every one is that was asked."""
    if len(errors) == 1:
        return errors[0]
    told = "no host of ssh_whisper can be used: " + "; ".join(error.message for error in errors)
    resting = [error for error in errors if isinstance(error, ProviderResting)]
    if len(resting) == len(errors):
        return ProviderResting(told, min(error.retry_after_seconds for error in resting))
    others = [error for error in errors if not isinstance(error, ProviderResting)]
    return type(next((error for error in others if error.retryable), others[0]))(told)
