from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.errors import ConfigurationError
from v2t.storage.cache import CachedObjectStore
from v2t.storage.redis_cache import RedisCache, pack, unpack
from v2t.testing import MemoryObjectStore

PASSWORD = "open-sesame"  # noqa: S105 - of no server at all
TRANSCRIPT = "t-1/transcript.json"


def redis_at(port: int) -> RedisCache:
    return RedisCache(f"redis://:{PASSWORD}@127.0.0.1:{port}/0", object_bytes=1000, ttl_seconds=60)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Where a server takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@given(st.text(max_size=20), st.binary(max_size=100), st.text(max_size=20))
def test_an_object_comes_back_as_it_was(key: str, data: bytes, etag: str) -> None:
    assert unpack(key, pack(key, data, etag)) == (data, etag)


@given(st.binary(min_size=1, max_size=50), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_object_is_none(data: bytes, place: int, change: int) -> None:
    packed = bytearray(pack(TRANSCRIPT, data, "etag"))
    packed[place % len(packed)] ^= change
    assert unpack(TRANSCRIPT, bytes(packed)) is None


@given(st.binary(max_size=60))
def test_what_somebody_else_wrote_is_no_object(packed: bytes) -> None:
    assert unpack(TRANSCRIPT, packed) is None


def test_an_object_under_another_key_is_none() -> None:
    assert unpack("t-2/transcript.json", pack(TRANSCRIPT, b"{}", "etag")) is None


@pytest.mark.parametrize(
    "url", ["", "localhost", f"http://:{PASSWORD}@h", f"redis://:{PASSWORD}@h:port", f"redis://:{PASSWORD}@[h"]
)
def test_what_is_no_url_of_redis_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cache\.redis_url") as caught:
        RedisCache(url, object_bytes=1, ttl_seconds=1)
    assert PASSWORD not in str(caught.value)


def test_a_server_that_is_gone_is_said_once_and_left_alone(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    cache = redis_at(closed_port)
    with caplog.at_level(logging.INFO):
        assert cache.get("t-1/a") is None
        assert not cache.answers
        cache.put("t-1/a", b"data")
        cache.discard(["t-1/a"])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert PASSWORD not in record.getMessage()
    assert PASSWORD not in repr(cache)


def test_a_server_that_says_nothing_costs_little_time(silent_port: int) -> None:
    cache = redis_at(silent_port)
    begun = time.monotonic()
    for _ in range(20):
        assert cache.get("t-1/a") is None
    assert time.monotonic() - begun < 2


def test_without_its_library_the_store_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    cache = redis_at(6379)
    assert cache.get("t-1/a") is None
    assert not cache.answers


def test_without_its_server_the_store_answers(closed_port: int, tmp_path: Path) -> None:
    store = CachedObjectStore(MemoryObjectStore(), None, redis_at(closed_port), metered=False)
    for key in (TRANSCRIPT, "t-1/chunks/0.json"):
        store.put_bytes(key, b"{}")
        assert store.get_bytes(key) == b"{}"
    store.delete_prefix("t-1/")
    assert not store.exists(TRANSCRIPT)
