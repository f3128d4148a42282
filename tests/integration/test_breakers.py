"""What machines of a cluster tell each other of a provider's failures, through a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from support.redis_server import RedisServer, redis_server

from v2t.domain.breaker import Breaker, BreakerPolicy, end_call
from v2t.domain.errors import ProviderBusy, ProviderUnreachable
from v2t.providers.guard import Guard
from v2t.storage.breakers import SharedBreakers
from v2t.storage.redis_cache import RedisCache

pytestmark = pytest.mark.servers

_MACHINES = 4
_CHANGES = 25


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def machine(server: RedisServer) -> SharedBreakers:
    return SharedBreakers(
        RedisCache(server.url, object_bytes=1000, ttl_seconds=60, timeout_seconds=5, pause_seconds=0.1)
    )


def fail(breaker: Breaker) -> tuple[Breaker, bool]:
    return end_call(breaker, "it is down", 1000.0, BreakerPolicy()), True


def test_what_one_machine_sees_all_others_know(server: RedisServer) -> None:
    one, other = machine(server), machine(server)
    for _ in range(5):
        one.change("openai", fail)
    assert other.read("openai") == one.read("openai")
    assert other.read("openai").state(1001.0) == "open"
    assert other.read("elevenlabs") == Breaker()


def test_no_change_is_lost_where_machines_change_it_at_once(server: RedisServer) -> None:
    def count(shared: SharedBreakers) -> None:
        for _ in range(_CHANGES):
            shared.change("openai", lambda breaker: (replace(breaker, openings=breaker.openings + 1), True))

    with ThreadPoolExecutor(_MACHINES) as threads:
        list(threads.map(count, [machine(server) for _ in range(_MACHINES)]))
    assert machine(server).read("openai").openings == _MACHINES * _CHANGES


def test_without_redis_a_machine_goes_by_what_it_knows_itself(server: RedisServer) -> None:
    one, other = machine(server), machine(server)
    for _ in range(5):
        one.change("openai", fail)
    server.kill()
    assert one.read("openai").state(1001.0) == "open"
    assert other.read("openai") == Breaker()
    assert other.change("openai", fail)
    assert other.read("openai").outcomes == (False,)


def test_what_somebody_else_wrote_there_is_no_breaker(server: RedisServer) -> None:
    with server.client() as client:
        client.set("v2t:breaker:openai", b'{"outcomes": 3, "colour": "red"}')
    shared = machine(server)
    assert shared.read("openai") == Breaker()
    assert shared.change("openai", fail)
    assert shared.read("openai").outcomes == (False,)


async def test_where_a_provider_tells_one_machine_to_come_back_later_the_others_wait_too(server: RedisServer) -> None:
    one, other = (Guard("openai", machine(server), BreakerPolicy()) for _ in range(2))
    await one.begin()
    await one.end(error=ProviderBusy("slow down", 1.0))
    started = time.monotonic()
    await asyncio.gather(*(guard.begin() for guard in (one, other, other)))
    assert time.monotonic() - started >= 1.0 + 2 * BreakerPolicy().turn_seconds - 0.1, "one after the other"


async def test_the_breakers_of_hosts_are_shared_and_so_is_what_they_say_together(server: RedisServer) -> None:
    one, other = Guard("ssh_whisper", machine(server), BreakerPolicy()), machine(server)
    one.watch_hosts(["m4-1", "m4-2"])
    for host in ("m4-1", "m4-2"):
        assert other.read("ssh_whisper").state(time.time()) == "closed"
        for _ in range(5):
            await one.end(host, ProviderUnreachable("no route"))
        assert other.read(f"ssh_whisper@{host}").state(time.time()) == "open"
    assert other.read("ssh_whisper").state(time.time()) == "open"
