from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from support.caches import FETCHES, SlowStore, cached_store, disk_cache, fetches, first_line, process, recording

from v2t.domain.errors import InputNotFound, ObjectMissing, StorageDamaged, StorageError
from v2t.domain.ports import ObjectFacts, ObjectStore
from v2t.storage.cache import CachedObjectStore
from v2t.storage.objects import DirectoryObjectStore

SPEECH = b"speech" * 1000
RECORDING = recording(SPEECH)
CHUNK = "t-1/chunks/00000.wav"


@pytest.fixture
def store(tmp_path: Path) -> CachedObjectStore:
    return cached_store(tmp_path)


@pytest.fixture
def behind(tmp_path: Path) -> DirectoryObjectStore:
    """The store itself, as other hosts use it."""
    return DirectoryObjectStore(tmp_path / "store")


def read(store: ObjectStore, key: str) -> bytes:
    with store.open_file(key) as path:
        return path.read_bytes()


def only_entry(tmp_path: Path) -> Path:
    (path,) = [path for path in (tmp_path / "cache" / "entries").rglob("*") if path.is_file()]
    return path


class SilentStore(DirectoryObjectStore):
    """A store that must not be asked."""

    def facts(self, key: str) -> ObjectFacts:
        raise AssertionError(f"asked for {key}")

    @contextmanager
    def open_file(self, key: str) -> Iterator[Path]:
        yield Path(self.facts(key).key)


def test_a_recording_is_fetched_once(store: CachedObjectStore, behind: ObjectStore, tmp_path: Path) -> None:
    behind.put_bytes(RECORDING, SPEECH)
    assert [read(store, RECORDING) for _ in range(3)] == [SPEECH] * 3
    assert store.get_bytes(RECORDING) == SPEECH
    assert fetches(tmp_path) == [RECORDING]


def test_a_cached_recording_needs_no_store(store: CachedObjectStore, behind: ObjectStore, tmp_path: Path) -> None:
    behind.put_bytes(RECORDING, SPEECH)
    read(store, RECORDING)
    alone = CachedObjectStore(SilentStore(tmp_path / "silent"), disk_cache(tmp_path), metered=False)
    assert read(alone, RECORDING) == SPEECH


def test_what_is_cut_here_is_found_here(store: CachedObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "0.wav"
    source.write_bytes(SPEECH)
    inode = source.stat().st_ino
    store.put_file(CHUNK, source, move=True)
    assert not source.exists()
    assert read(store, CHUNK) == SPEECH
    assert only_entry(tmp_path).stat().st_ino == inode
    assert fetches(tmp_path) == []


def test_a_file_that_is_not_moved_is_copied_into_the_cache(store: CachedObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "0.wav"
    source.write_bytes(SPEECH)
    store.put_file(CHUNK, source)
    source.write_bytes(b"other")
    assert read(store, CHUNK) == SPEECH
    assert fetches(tmp_path) == []


def test_small_content_is_found_here_too(store: CachedObjectStore, tmp_path: Path) -> None:
    store.put_bytes(CHUNK, SPEECH)
    assert read(store, CHUNK) == SPEECH
    assert fetches(tmp_path) == []


def test_a_recording_that_changed_while_it_was_stored_is_not_cached(store: CachedObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(b"another")
    store.put_file(RECORDING, source)
    assert store.size().entries == 0


def test_a_chunk_that_another_host_cut_anew_is_not_served_stale(store: CachedObjectStore, behind: ObjectStore) -> None:
    store.put_bytes(CHUNK, SPEECH)
    behind.put_bytes(CHUNK, b"another cut")
    assert read(store, CHUNK) == b"another cut"
    assert store.size().entries == 1


def test_a_chunk_deleted_behind_our_back_is_missing(store: CachedObjectStore, behind: ObjectStore) -> None:
    store.put_bytes(CHUNK, SPEECH)
    behind.delete(CHUNK)
    with pytest.raises(ObjectMissing, match=CHUNK):
        read(store, CHUNK)
    assert store.size().entries == 0


def test_what_is_deleted_here_leaves_the_cache(store: CachedObjectStore) -> None:
    store.put_bytes(RECORDING, SPEECH)
    store.delete(RECORDING)
    with pytest.raises(ObjectMissing):
        read(store, RECORDING)
    for name in ("0", "1"):
        store.put_bytes(f"t-1/chunks/{name}.wav", SPEECH)
    store.delete_prefix("t-1/chunks/")
    assert store.size().entries == 0


def test_what_is_copied_over_leaves_the_cache(store: CachedObjectStore) -> None:
    store.put_bytes(CHUNK, SPEECH)
    store.put_bytes("t-2/other", b"other")
    store.copy("t-2/other", CHUNK)
    assert store.size().entries == 0
    assert read(store, CHUNK) == b"other"


def flip_a_byte_unseen(path: Path) -> None:
    there, data = path.stat(), bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))


@pytest.mark.parametrize("key", [RECORDING, CHUNK])
def test_a_byte_flipped_on_the_disk_is_not_served(store: CachedObjectStore, tmp_path: Path, key: str) -> None:
    store.put_bytes(key, SPEECH)
    assert read(store, key) == SPEECH
    flip_a_byte_unseen(only_entry(tmp_path))
    assert [read(store, key) for _ in range(2)] == [SPEECH] * 2
    assert fetches(tmp_path) == [key]


def test_a_recording_damaged_in_the_store_is_refused(store: CachedObjectStore, behind: ObjectStore) -> None:
    behind.put_bytes(RECORDING, SPEECH[:-1] + b"?")
    with pytest.raises(StorageDamaged, match=RECORDING):
        read(store, RECORDING)
    assert store.size().entries == 0


def test_what_is_larger_than_the_cache_goes_past_it(behind: ObjectStore, tmp_path: Path) -> None:
    store = cached_store(tmp_path, limit_bytes=len(SPEECH) - 1)
    behind.put_bytes(RECORDING, SPEECH)
    assert [read(store, RECORDING) for _ in range(2)] == [SPEECH] * 2
    source = tmp_path / "0.wav"
    source.write_bytes(SPEECH)
    store.put_file(CHUNK, source, move=True)
    assert not source.exists()
    assert read(store, CHUNK) == SPEECH
    assert store.size().entries == 0


def test_a_cache_folder_that_cannot_be_used_only_slows_things_down(
    store: CachedObjectStore, behind: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("in the way")
    behind.put_bytes(RECORDING, SPEECH)
    source = tmp_path / "0.wav"
    source.write_bytes(SPEECH)
    with caplog.at_level(logging.WARNING):
        assert [read(store, RECORDING) for _ in range(2)] == [SPEECH] * 2
        store.put_file(CHUNK, source, move=True)
        assert read(store, CHUNK) == SPEECH
        store.delete(CHUNK)
        store.delete_prefix("t-1/chunks/")
    assert not source.exists()
    assert store.size().entries == 0
    assert [record.action for record in caplog.records] == ["disk_cache_failed"]  # type: ignore[attr-defined]


def test_a_full_disk_only_slows_things_down(behind: ObjectStore, tmp_path: Path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(4)]
    keys = [recording(content) for content in contents]
    for key, content in zip(keys, contents, strict=True):
        behind.put_bytes(key, content)
    (tmp_path / "cache").mkdir()
    mount = f"mount -t tmpfs -o size=256k none {tmp_path / 'cache'}"
    alone = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    wanted = [*keys, keys[-1], keys[-1]]
    output, _ = process("fetch", tmp_path, *wanted, before=alone).communicate(timeout=60)
    assert [f"audio/{digest}" for digest in output.split()] == wanted
    assert fetches(tmp_path).count(keys[-1]) == 1  # what was kept before has made room


def test_ten_threads_that_need_one_object_fetch_it_once(behind: ObjectStore, tmp_path: Path) -> None:
    behind.put_bytes(RECORDING, SPEECH)
    store = cached_store(tmp_path, seconds=0.2)
    together = threading.Barrier(10)

    def fetch(_: int) -> bytes:
        together.wait()
        return read(store, RECORDING)

    with ThreadPoolExecutor(10) as threads:
        assert list(threads.map(fetch, range(10))) == [SPEECH] * 10
    assert fetches(tmp_path) == [RECORDING]


def test_five_processes_that_need_one_object_fetch_it_once(behind: ObjectStore, tmp_path: Path) -> None:
    behind.put_bytes(RECORDING, SPEECH)
    fetchers = [process("fetch", tmp_path, RECORDING) for _ in range(5)]
    assert [fetcher.communicate(timeout=60)[0].strip() for fetcher in fetchers] == [RECORDING[6:]] * 5
    assert fetches(tmp_path) == [RECORDING]


def test_a_fetch_killed_half_way_holds_nobody_up(behind: ObjectStore, tmp_path: Path) -> None:
    behind.put_bytes(RECORDING, SPEECH)
    other = process("die", tmp_path, RECORDING)
    assert first_line(other) == "writing"
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(read, cached_store(tmp_path), RECORDING)
        other.kill()
        assert waiting.result(30) == SPEECH
    other.communicate()
    assert fetches(tmp_path) == [RECORDING]


def test_a_failure_of_the_reader_is_no_failure_of_the_cache(store: CachedObjectStore, tmp_path: Path) -> None:
    store.put_bytes(RECORDING, SPEECH)
    with pytest.raises(OSError, match="the reader's"), store.open_file(RECORDING):
        raise OSError("the reader's")
    assert fetches(tmp_path) == []
    store.put_bytes("t-1/other", b"")
    with pytest.raises(OSError, match="the reader's"), store.open_file("t-1/other"):
        raise OSError("the reader's")
    assert fetches(tmp_path) == ["t-1/other"]


def test_a_failed_upload_is_not_cached(tmp_path: Path) -> None:
    class FullStore(SlowStore):
        def put_file(self, *_: object, **__: object) -> None:
            raise StorageError("full")

    store = CachedObjectStore(FullStore(tmp_path), disk_cache(tmp_path), metered=False)
    source = tmp_path / "0.wav"
    source.write_bytes(SPEECH)
    with pytest.raises(StorageError, match="full"):
        store.put_file(CHUNK, source, move=True)
    assert source.exists()
    assert store.size().entries == 0


def test_a_missing_source_is_named(store: CachedObjectStore, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        store.put_file(CHUNK, tmp_path / "gone.wav", move=True)


def test_whether_an_object_exists_the_store_says(store: CachedObjectStore, behind: ObjectStore) -> None:
    store.put_bytes(RECORDING, SPEECH)
    behind.delete(RECORDING)
    assert not store.exists(RECORDING)


def test_without_caches_it_is_the_store(behind: ObjectStore, tmp_path: Path) -> None:
    store = CachedObjectStore(behind, None, metered=False)
    store.put_bytes(RECORDING, SPEECH)
    assert store.get_bytes(RECORDING) == read(store, RECORDING) == SPEECH
    assert store.size().limit_bytes == 0
    assert not (tmp_path / FETCHES).exists()


def requests(level: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("v2t_cache_requests_total", {"level": level, "outcome": outcome}) or 0.0


def test_hits_and_misses_are_counted(behind: ObjectStore, tmp_path: Path) -> None:
    store = CachedObjectStore(behind, disk_cache(tmp_path))
    behind.put_bytes(RECORDING, SPEECH)
    labels = [("disk", "hit"), ("disk", "miss"), ("store", "hit")]
    before = [requests(*each) for each in labels]
    for _ in range(3):
        read(store, RECORDING)
    assert [requests(*each) - old for each, old in zip(labels, before, strict=True)] == [2, 1, 1]
    assert REGISTRY.get_sample_value("v2t_cache_disk_bytes") == len(SPEECH)


def test_a_client_loads_neither_redis_nor_metrics() -> None:
    code = (
        "import sys, v2t.storage.cache; sys.exit(any(name in sys.modules for name in ('redis', 'prometheus_client')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
