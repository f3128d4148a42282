"""The same cases for every object store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support.buckets import new_store

from v2t.domain.errors import InputNotFound, ObjectMissing
from v2t.domain.ports import ObjectStore
from v2t.storage.cache import CachedObjectStore
from v2t.storage.disk_cache import DiskCache
from v2t.storage.objects import DirectoryObjectStore
from v2t.testing import MemoryObjectStore


@pytest.fixture(
    params=[
        "directory",
        "memory",
        "cached",
        pytest.param("minio", marks=pytest.mark.servers),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return DirectoryObjectStore(tmp_path / "objects")
    if request.param == "memory":
        return MemoryObjectStore()
    if request.param == "cached":
        return CachedObjectStore(MemoryObjectStore(), DiskCache(tmp_path / "cache", 1 << 20))
    return new_store(request.getfixturevalue("servers"), tmp_path / "scratch")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.wav"
    path.write_bytes(b"speech")
    return path


def test_bytes_come_back_as_they_were(store: ObjectStore) -> None:
    store.put_bytes("jobs/t-1/transcript.json", b"\0\xff{}")
    assert store.get_bytes("jobs/t-1/transcript.json") == b"\0\xff{}"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put_bytes("audio/none", b"")
    assert store.exists("audio/none")
    assert store.get_bytes("audio/none") == b""


def test_a_file_is_copied_and_stays(store: ObjectStore, source: Path) -> None:
    store.put_file("audio/abc", source)
    assert source.read_bytes() == b"speech"
    with store.open_file("audio/abc") as path:
        assert path.read_bytes() == b"speech"


def test_a_copy_does_not_follow_its_source(store: ObjectStore, source: Path) -> None:
    store.put_file("audio/abc", source)
    source.write_bytes(b"other")
    assert store.get_bytes("audio/abc") == b"speech"


def test_a_moved_file_is_consumed(store: ObjectStore, source: Path) -> None:
    store.put_file("audio/abc", source, move=True)
    assert not source.exists()
    assert store.get_bytes("audio/abc") == b"speech"


def test_moving_a_link_keeps_the_file_it_names(store: ObjectStore, source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.wav"
    link.symlink_to(source)
    store.put_file("audio/abc", link, move=True)
    source.write_bytes(b"other")
    assert store.get_bytes("audio/abc") == b"speech"


@pytest.mark.parametrize("move", [False, True])
def test_a_missing_source_is_named(store: ObjectStore, tmp_path: Path, *, move: bool) -> None:
    with pytest.raises(InputNotFound, match=r"gone\.wav"):
        store.put_file("audio/abc", tmp_path / "gone.wav", move=move)
    assert not store.exists("audio/abc")


def test_a_second_put_replaces_the_first(store: ObjectStore, source: Path) -> None:
    store.put_bytes("audio/abc", b"a longer first version")
    store.put_file("audio/abc", source)
    assert store.get_bytes("audio/abc") == b"speech"


def test_a_missing_object_is_said_to_be_missing(store: ObjectStore) -> None:
    assert not store.exists("audio/abc")
    with pytest.raises(ObjectMissing, match="audio/abc"):
        store.get_bytes("audio/abc")
    with pytest.raises(ObjectMissing, match="audio/abc"), store.open_file("audio/abc"):
        pass


def test_a_prefix_is_no_object(store: ObjectStore) -> None:
    store.put_bytes("jobs/t-1/0.json", b"{}")
    assert not store.exists("jobs/t-1")
    with pytest.raises(ObjectMissing):
        store.get_bytes("jobs/t-1")


def test_keys_are_listed_by_the_beginning_of_their_name(store: ObjectStore) -> None:
    for key in ("jobs/t-2/0.json", "jobs/t-1/1.json", "jobs/t-1/0.json", "audio/t-1"):
        store.put_bytes(key, b"")
    assert store.list_keys("jobs/t-1/") == ["jobs/t-1/0.json", "jobs/t-1/1.json"]
    assert store.list_keys("jobs/t-") == ["jobs/t-1/0.json", "jobs/t-1/1.json", "jobs/t-2/0.json"]
    assert store.list_keys("") == ["audio/t-1", "jobs/t-1/0.json", "jobs/t-1/1.json", "jobs/t-2/0.json"]
    assert store.list_keys("jobs/t-3/") == []


def test_a_deleted_object_is_gone_and_deleting_again_is_no_error(store: ObjectStore) -> None:
    store.put_bytes("audio/abc", b"speech")
    store.delete("audio/abc")
    assert not store.exists("audio/abc")
    store.delete("audio/abc")


def test_deleting_below_a_prefix_spares_its_neighbours(store: ObjectStore) -> None:
    for key in ("jobs/t-1/0.json", "jobs/t-1/chunks/0.wav", "jobs/t-10/0.json"):
        store.put_bytes(key, b"")
    store.delete_prefix("jobs/t-1/")
    store.delete_prefix("jobs/t-1/")
    assert store.list_keys("") == ["jobs/t-10/0.json"]
    store.put_bytes("jobs/t-1/0.json", b"again")
    assert store.get_bytes("jobs/t-1/0.json") == b"again"


def test_keys_of_all_kinds_are_listed_together_and_sorted(store: ObjectStore) -> None:
    keys = ["archive/t-1/a", "audio/abc", "audiobook/a", "b-1/plan.json", "incoming/anna/a.wav", "models/m/a", "t-1/a"]
    for key in reversed(keys):
        store.put_bytes(key, b"")
    assert store.list_keys("") == keys
    assert store.list_keys("a") == keys[:3]
    assert store.list_keys("audio") == ["audio/abc", "audiobook/a"]
    assert store.list_keys("incoming/anna/") == ["incoming/anna/a.wav"]


def test_facts_are_the_same_alone_and_in_a_list(store: ObjectStore) -> None:
    store.put_bytes("incoming/anna/a.wav", b"speech")
    store.put_bytes("incoming/anna/b.wav", b"longer speech")
    listed = list(store.list_objects("incoming/"))
    assert [(entry.key, entry.size_bytes) for entry in listed] == [
        ("incoming/anna/a.wav", 6),
        ("incoming/anna/b.wav", 13),
    ]
    assert [store.facts(entry.key).etag for entry in listed] == [entry.etag for entry in listed]
    assert abs(store.facts("incoming/anna/a.wav").modified_at - listed[0].modified_at) < 2


def test_facts_of_a_missing_object_are_missing(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing, match="audio/abc"):
        store.facts("audio/abc")


def test_another_content_has_another_etag(store: ObjectStore) -> None:
    etags = set()
    for content in (b"one", b"two", b"six"):
        store.put_bytes("incoming/anna/a.wav", content)
        etags.add(store.facts("incoming/anna/a.wav").etag)
    assert len(etags) == 3
    assert "" not in etags


def test_an_object_is_copied_and_stays(store: ObjectStore) -> None:
    store.put_bytes("incoming/anna/a.wav", b"speech")
    store.copy("incoming/anna/a.wav", "audio/abc")
    store.delete("incoming/anna/a.wav")
    assert store.get_bytes("audio/abc") == b"speech"


def test_only_the_content_that_was_asked_for_is_copied(store: ObjectStore) -> None:
    store.put_bytes("incoming/anna/a.wav", b"one")
    etag = store.facts("incoming/anna/a.wav").etag
    store.put_bytes("incoming/anna/a.wav", b"two")
    with pytest.raises(ObjectMissing, match=r"incoming/anna/a\.wav"):
        store.copy("incoming/anna/a.wav", "audio/abc", etag=etag)
    assert not store.exists("audio/abc")
    store.copy("incoming/anna/a.wav", "audio/abc", etag=store.facts("incoming/anna/a.wav").etag)
    assert store.get_bytes("audio/abc") == b"two"


def test_a_missing_object_cannot_be_copied(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing, match=r"incoming/anna/a\.wav"):
        store.copy("incoming/anna/a.wav", "audio/abc", etag="x")


def test_an_object_that_was_replaced_is_not_deleted(store: ObjectStore) -> None:
    store.put_bytes("incoming/anna/a.wav", b"one")
    etag = store.facts("incoming/anna/a.wav").etag
    store.put_bytes("incoming/anna/a.wav", b"two")
    store.delete("incoming/anna/a.wav", etag=etag)
    assert store.get_bytes("incoming/anna/a.wav") == b"two"
    store.delete("incoming/anna/a.wav", etag=store.facts("incoming/anna/a.wav").etag)
    assert not store.exists("incoming/anna/a.wav")
    store.delete("incoming/anna/a.wav", etag=etag)


def test_progress_ends_with_the_size_of_the_file(store: ObjectStore, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(11 << 20))
    key = f"audio/{hashlib.sha256(large.read_bytes()).hexdigest()}"
    told: list[int] = []
    store.put_file(key, large, on_bytes=told.append)
    assert told == sorted(told)
    assert told[-1] == 11 << 20
    with store.open_file(key) as path:
        assert path.read_bytes() == large.read_bytes()
