"""The cache against a real Redis, which is killed, frozen and filled with nonsense."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from support.caches import SlowStore, disk_cache, fetches, recording
from support.redis_server import PASSWORD, RedisServer, redis_server

from v2t.domain.errors import ObjectMissing
from v2t.domain.ports import ObjectStore
from v2t.storage.cache import CachedObjectStore
from v2t.storage.objects import DirectoryObjectStore
from v2t.storage.redis_cache import RedisCache

pytestmark = pytest.mark.servers

TRANSCRIPT = "t-1/transcript.json"
RESULT = "t-1/chunks/00000-0-118000-fake-en.json"
SPEECH = b"speech" * 10
RECORDING = recording(SPEECH)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(server: RedisServer) -> Iterator[RedisCache]:
    cache = RedisCache(server.url, object_bytes=1000, ttl_seconds=60, pause_seconds=0.3)
    yield cache
    cache.close()


@pytest.fixture
def store(redis: RedisCache, tmp_path: Path) -> CachedObjectStore:
    return CachedObjectStore(SlowStore(tmp_path), None, redis)


@pytest.fixture
def behind(tmp_path: Path) -> DirectoryObjectStore:
    """The store itself, as somebody without this cache uses it."""
    return DirectoryObjectStore(tmp_path / "store")


def hits() -> float:
    return REGISTRY.get_sample_value("v2t_cache_requests_total", {"level": "redis", "outcome": "hit"}) or 0.0


def is_served_by_redis(store: ObjectStore, key: str, data: bytes) -> bool:
    before = hits()
    assert store.get_bytes(key) == data
    return hits() > before


def test_a_transcript_is_served_by_redis_once_it_was_read(store: CachedObjectStore) -> None:
    store.put_bytes(TRANSCRIPT, b"{}")
    assert not is_served_by_redis(store, TRANSCRIPT, b"{}")
    assert is_served_by_redis(store, TRANSCRIPT, b"{}")


def test_a_result_of_a_chunk_is_served_by_redis_at_once(store: CachedObjectStore) -> None:
    store.put_bytes(RESULT, b"{}")
    assert is_served_by_redis(store, RESULT, b"{}")


def test_a_transcript_replaced_behind_our_back_is_not_served_stale(
    store: CachedObjectStore, behind: ObjectStore
) -> None:
    store.put_bytes(TRANSCRIPT, b"first")
    store.get_bytes(TRANSCRIPT)
    behind.put_bytes(TRANSCRIPT, b"other")
    assert not is_served_by_redis(store, TRANSCRIPT, b"other")
    assert is_served_by_redis(store, TRANSCRIPT, b"other")


def test_a_transcript_deleted_behind_our_back_is_missing(
    store: CachedObjectStore, behind: ObjectStore, redis: RedisCache
) -> None:
    store.put_bytes(TRANSCRIPT, b"{}")
    store.get_bytes(TRANSCRIPT)
    behind.delete(TRANSCRIPT)
    with pytest.raises(ObjectMissing, match=TRANSCRIPT):
        store.get_bytes(TRANSCRIPT)
    assert redis.get(TRANSCRIPT) is None


def test_what_is_deleted_or_overwritten_leaves_redis(store: CachedObjectStore, redis: RedisCache) -> None:
    for key in (TRANSCRIPT, RESULT):
        store.put_bytes(key, b"first")
        assert store.get_bytes(key) == b"first"
        store.put_bytes(key, b"other")
        assert store.get_bytes(key) == b"other"
        store.delete(key)
        assert redis.get(key) is None
        with pytest.raises(ObjectMissing):
            store.get_bytes(key)
    store.put_bytes(RESULT, b"first")
    store.delete_prefix("t-1/chunks/")
    assert redis.get(RESULT) is None


def test_what_may_change_without_notice_is_not_kept(store: CachedObjectStore, redis: RedisCache) -> None:
    for key in ("b-1/groups/0.json", "incoming/chunks/0.json", "incoming/t-1/transcript.json"):
        store.put_bytes(key, b"{}")
        store.get_bytes(key)
        assert redis.get(key) is None


def test_a_small_recording_reaches_another_host_by_redis(
    store: CachedObjectStore, redis: RedisCache, behind: ObjectStore, tmp_path: Path
) -> None:
    behind.put_bytes(RECORDING, SPEECH)
    for host in ("one", "two"):
        there = CachedObjectStore(SlowStore(tmp_path), disk_cache(tmp_path / host), redis)
        with there.open_file(RECORDING) as path:
            assert path.read_bytes() == SPEECH
    assert fetches(tmp_path) == [RECORDING]


def test_a_recording_spoilt_in_redis_is_fetched_from_the_store(
    redis: RedisCache, behind: ObjectStore, tmp_path: Path
) -> None:
    behind.put_bytes(RECORDING, SPEECH)
    redis.put(RECORDING, b"other")
    store = CachedObjectStore(SlowStore(tmp_path), disk_cache(tmp_path), redis)
    assert store.get_bytes(RECORDING) == SPEECH


def test_what_is_large_is_not_kept(store: CachedObjectStore, redis: RedisCache) -> None:
    store.put_bytes(RESULT, bytes(1001))
    assert store.get_bytes(RESULT) == bytes(1001)
    assert redis.get(RESULT) is None


def test_nothing_is_kept_for_ever(store: CachedObjectStore, server: RedisServer) -> None:
    store.put_bytes(RESULT, b"{}")
    with server.client() as client:
        (name,) = client.keys("*")
        assert 0 < client.ttl(name) <= 60


def test_nonsense_in_redis_is_not_served(store: CachedObjectStore, server: RedisServer) -> None:
    store.put_bytes(RESULT, b"{}")
    with server.client() as client:
        (name,) = client.keys("*")
        client.set(name, b"nonsense")
    assert not is_served_by_redis(store, RESULT, b"{}")
    with server.client() as client:
        client.delete(name)
        client.lpush(name, "a list")
    assert not is_served_by_redis(store, RESULT, b"{}")


def wait_until_asked_again(redis: RedisCache) -> None:
    deadline = time.monotonic() + 10
    while not redis.answers:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_redis_only_slows_things_down(
    store: CachedObjectStore, server: RedisServer, redis: RedisCache, caplog: pytest.LogCaptureFixture
) -> None:
    for key in (TRANSCRIPT, RESULT):
        store.put_bytes(key, b"first")
        store.get_bytes(key)
    with caplog.at_level(logging.INFO):
        server.kill()
        for key in (TRANSCRIPT, RESULT):
            assert store.get_bytes(key) == b"first"
            store.put_bytes(key, b"other")
            assert store.get_bytes(key) == b"other"
        server.start()
        wait_until_asked_again(redis)
        store.put_bytes(RESULT, b"third")
        assert is_served_by_redis(store, RESULT, b"third")
    assert [record.action for record in caplog.records] == ["redis_gone", "redis_back"]  # type: ignore[attr-defined]
    assert PASSWORD not in caplog.text


def test_a_restarted_redis_is_used_at_once(store: CachedObjectStore, server: RedisServer, redis: RedisCache) -> None:
    store.put_bytes(RESULT, b"{}")
    server.kill()
    server.start()
    store.put_bytes(RESULT, b"{}")
    assert redis.answers
    assert is_served_by_redis(store, RESULT, b"{}")


def test_a_frozen_redis_only_slows_things_down(store: CachedObjectStore, server: RedisServer) -> None:
    store.put_bytes(RESULT, b"{}")
    server.signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        for _ in range(10):
            assert store.get_bytes(RESULT) == b"{}"
        assert time.monotonic() - begun < 5
    finally:
        server.signal(signal.SIGCONT)


def test_a_refused_password_only_slows_things_down(
    server: RedisServer, behind: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    redis = RedisCache(server.url.replace(PASSWORD, "wrong-word"), object_bytes=1000, ttl_seconds=60)
    store = CachedObjectStore(behind, None, redis)
    with caplog.at_level(logging.INFO):
        store.put_bytes(RESULT, b"{}")
        assert store.get_bytes(RESULT) == b"{}"
    assert not redis.answers
    assert "wrong-word" not in caplog.text
    redis.close()
