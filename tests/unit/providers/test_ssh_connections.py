"""The kept connections, against two real servers of this account."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import fabric
import pytest
from support.ssh_server import SshServer, serve_ssh, settings_for

from v2t.domain.breaker import BreakerPolicy
from v2t.domain.errors import (
    ConfigurationError,
    ProviderBusy,
    ProviderFailed,
    ProviderResting,
    ProviderUnreachable,
    V2TError,
)
from v2t.providers.guard import Guard
from v2t.providers.ssh_connections import Connections
from v2t.providers.ssh_login import Host, find_host, open_connection
from v2t.storage.breakers import SharedBreakers

pytestmark = pytest.mark.servers  # sshd


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SshServer, SshServer]]:
    folder = tmp_path_factory.mktemp("ssh")
    with serve_ssh(folder / "one") as one, serve_ssh(folder / "two", more="MaxSessions 2") as two:
        yield one, two


class Site:
    """The servers as hosts, the connections to them, and what opening one does."""

    def __init__(self, servers: tuple[SshServer, ...], limit: int) -> None:
        self.servers = {find_host(server.address, settings_for(server, Path("/tmp"))): server for server in servers}
        self.hosts = list(self.servers)
        self.opened: list[Host] = []
        self.broken: dict[Host, V2TError] = {}
        self.threads = ThreadPoolExecutor(8)
        self.connections = Connections(self.hosts, self.open, limit=limit, threads=self.threads)

    def open(self, host: Host) -> fabric.Connection:
        self.opened.append(host)
        if host in self.broken:
            raise self.broken[host]
        return open_connection(host, settings_for(self.servers[host], Path("/tmp")))

    async def used(self) -> Host:
        """The host that one piece of work goes to."""
        async with self.connections.channel() as opened:
            return opened.host


@pytest.fixture
async def sites() -> AsyncIterator[list[Site]]:
    made: list[Site] = []
    yield made
    for site in made:
        await site.connections.close()
        site.threads.shutdown()


@pytest.fixture
def site(servers: tuple[SshServer, SshServer], sites: list[Site]) -> Site:
    sites.append(Site(servers, limit=1))
    return sites[-1]


@pytest.fixture
def single(servers: tuple[SshServer, SshServer], sites: list[Site]) -> Site:
    sites.append(Site(servers[:1], limit=2))
    return sites[-1]


async def test_work_goes_to_the_host_that_does_least(site: Site) -> None:
    async with site.connections.channel() as first, site.connections.channel() as second:
        assert {first.host, second.host} == set(site.hosts)


async def test_each_host_has_one_connection_however_many_ask_at_once(single: Site) -> None:
    async with AsyncExitStack() as stack:
        opened = await asyncio.gather(*(stack.enter_async_context(single.connections.channel()) for _ in range(2)))
        assert opened[0].connection is opened[1].connection
        assert opened[0].channel is not opened[1].channel
    await single.used()
    assert single.opened == single.hosts


async def test_who_finds_no_room_waits_for_it(site: Site) -> None:
    async with AsyncExitStack() as stack:
        for _ in site.hosts:
            await stack.enter_async_context(site.connections.channel())
        waiting = asyncio.create_task(site.used())
        abandoned = asyncio.create_task(site.used())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        abandoned.cancel()
        await asyncio.wait({abandoned})
    assert await asyncio.wait_for(waiting, 5) in site.hosts


async def test_room_is_given_back_by_what_fails_or_is_cancelled(single: Site) -> None:
    async def fail() -> None:
        async with single.connections.channel():
            raise ProviderUnreachable

    for _ in range(3):
        with pytest.raises(ProviderUnreachable):
            await fail()
        task = asyncio.create_task(single.used())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    assert await asyncio.wait_for(single.used(), 5) == single.hosts[0]


async def test_a_host_that_failed_is_left_alone_while_another_works(site: Site) -> None:
    bad, good = site.hosts
    site.broken[bad] = ProviderUnreachable("gone")
    assert [await site.used() for _ in range(3)] == [good] * 3
    assert site.opened.count(bad) == 1

    del site.broken[bad]
    answers = await site.connections.survey()
    assert [(answer.host, answer.error) for answer in answers] == [(str(bad), None), (str(good), None)]
    assert await site.used() == bad


async def test_a_host_that_failed_is_tried_again_when_there_is_no_other(single: Site) -> None:
    (host,) = single.hosts
    single.broken[host] = ProviderUnreachable("gone")
    with pytest.raises(ProviderUnreachable, match=r"^gone$"):
        await single.used()
    del single.broken[host]
    assert await single.used() == host


async def test_the_error_of_all_is_final_only_if_each_is(site: Site) -> None:
    one, two = site.hosts
    site.broken = {one: ConfigurationError("no key"), two: ProviderUnreachable("gone")}
    with pytest.raises(ProviderUnreachable, match=r"no key; gone|gone; no key"):
        await site.used()
    site.broken[two] = ConfigurationError("no key there")
    with pytest.raises(ConfigurationError):
        await site.used()


async def test_a_dead_connection_is_replaced_and_the_others_are_kept(site: Site) -> None:
    for _ in site.hosts:
        async with site.connections.channel(), site.connections.channel():
            pass
    site.servers[site.hosts[0]].cut()
    async with site.connections.channel(), site.connections.channel():
        pass
    assert [site.opened.count(host) for host in site.hosts] == [2, 1]


async def test_a_host_that_opens_no_more_sessions_is_busy(
    servers: tuple[SshServer, SshServer], sites: list[Site]
) -> None:
    sites.append(Site(servers[1:], limit=8))  # which allows two
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(sites[-1].connections.channel())
        with pytest.raises(ProviderBusy, match="MaxSessions"):
            await sites[-1].used()
    used: list[Host] = []
    async with asyncio.timeout(5):
        while not used:  # the host takes a moment to let go of what was closed
            with suppress(ProviderBusy):
                used.append(await sites[-1].used())


def guard_of(site: Site) -> tuple[Guard, SharedBreakers]:
    breakers = SharedBreakers()
    guard = Guard("ssh_whisper", breakers, BreakerPolicy())
    site.connections.guard_hosts(guard)
    return guard, breakers


async def down(guard: Guard, host: Host) -> None:
    """As other workers may have seen it."""
    for _ in range(5):
        await guard.end(str(host), ProviderUnreachable("no route"))


async def test_a_host_that_others_saw_fail_is_left_alone_while_the_rest_is_asked(site: Site) -> None:
    guard, breakers = guard_of(site)
    bad, good = site.hosts
    await down(guard, bad)
    assert [await site.used() for _ in range(3)] == [good] * 3
    assert site.opened == [good]
    assert breakers.read("ssh_whisper").state(time.time()) == "closed"
    await down(guard, good)
    with pytest.raises(ProviderResting, match="no host of ssh_whisper can be used") as caught:
        await site.used()
    assert 25 < caught.value.retry_after_seconds <= 30
    assert breakers.read("ssh_whisper").state(time.time()) == "open", "which is what plans look at"


async def test_work_that_fails_on_a_host_counts_for_that_host_alone(site: Site) -> None:
    _, breakers = guard_of(site)

    async def fail() -> Host:
        async with site.connections.channel() as opened:
            raise ProviderFailed(str(opened.host))

    with pytest.raises(ProviderFailed) as caught:
        await fail()
    outcomes = {str(host): breakers.read(f"ssh_whisper@{host}").outcomes for host in site.hosts}
    assert outcomes[caught.value.message] == (False,)
    assert sorted(outcomes.values()) == [(), (False,)]


async def test_a_host_that_is_silent_does_not_hide_the_others(site: Site) -> None:
    bad, good = site.hosts
    ended = threading.Event()
    open_it = site.connections._open_connection
    site.connections._open_connection = lambda host: ended.wait(10) and None if host == bad else open_it(host)
    try:
        answers = {answer.host: answer.error for answer in await site.connections.survey(1.0)}
    finally:
        ended.set()
    assert answers[str(good)] is None
    assert "does not answer within 1 s" in str(answers[str(bad)])
