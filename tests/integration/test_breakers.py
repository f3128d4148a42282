"""What machines of a cluster tell each other of a provider's failures, through a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from support.redis_server import RedisServer, redis_server

from v2t.domain.breaker import Breaker, BreakerPolicy, end_call
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
