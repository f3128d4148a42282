"""A backup read back: what is whole, and what is named where it is not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from v2t.cluster.backups import databases, work
from v2t.cluster.backups.databases import View
from v2t.cluster.backups.manifest import OBJECTS, StoredObject
from v2t.cluster.backups.objects import Bucketeer, OnObject
from v2t.cluster.backups.shelf import Shelf
from v2t.domain.errors import StorageDamaged, StorageFull


class Bucket(Bucketeer):
    """The objects of a cluster, without one."""

    def __init__(self, shelf: Shelf, contents: dict[str, bytes]) -> None:
        self.shelf, self.contents = shelf, contents
        self.passes = 0
        self.while_copying: Callable[[], int] = lambda: 0

    def take_all(self, earlier: Iterator[StoredObject], on_object: OnObject) -> int:
        self.passes += 1
        gone = self.while_copying()
        for key, content in sorted(self.contents.items()):
            digest = hashlib.sha256(content).hexdigest()
            path = self.shelf.content(digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            on_object(StoredObject("transcripts", key, len(content), "", digest))
        return gone


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    @contextmanager
    def one_view() -> Iterator[View]:
        yield View({"v2t": "1"}, {"t-1/transcript.json", "t-2/transcript.json"})

    def dump(_name: str, _snapshot: str, file: Path) -> None:
        file.write_text("dump")

    monkeypatch.setattr(databases, "one_view", one_view)
    monkeypatch.setattr(databases, "dump", dump)
    monkeypatch.setattr(databases, "dump_problem", lambda _file: "")
    return Shelf(tmp_path)


@pytest.fixture
def bucket(shelf: Shelf) -> Bucket:
    return Bucket(shelf, {"t-1/transcript.json": b"hello", "t-3/chunks/1.wav": b"chunk"})


def _create(shelf: Shelf, bucket: Bucket, keep: int = 7) -> work.Made:
    return work.create(shelf, bucket, shelf.folder / "inventory", keep, "1.0", _quiet)


def _quiet(_words: str) -> None:
    """Nobody listens."""


def test_a_backup_says_what_is_in_it(shelf: Shelf, bucket: Bucket) -> None:
    (shelf.folder / "inventory" / "group_vars").mkdir(parents=True)
    (shelf.folder / "inventory" / "group_vars" / "v2t.yml").write_text("a: 1")
    manifest = _create(shelf, bucket).manifest
    assert sorted(manifest.files) == ["databases/v2t.dump", "inventory/group_vars/v2t.yml", OBJECTS]
    assert manifest.objects == 2
    assert manifest.buckets["transcripts"].size_bytes == len(b"hello" + b"chunk")
    assert manifest.without_transcript == 1  # of t-2
    assert work.verify(shelf, "latest", _quiet) == (manifest, [])


def test_what_goes_while_it_is_copied_is_looked_for_once_more(shelf: Shelf, bucket: Bucket) -> None:
    def finish() -> int:
        bucket.while_copying = lambda: 0
        bucket.contents["t-2/transcript.json"] = bucket.contents.pop("t-3/chunks/1.wav")
        return 1

    bucket.while_copying = finish
    manifest = _create(shelf, bucket).manifest
    assert bucket.passes == 2
    assert manifest.without_transcript == 0
    assert [each.key for each in shelf.objects(shelf.find("latest"))] == ["t-1/transcript.json", "t-2/transcript.json"]


def test_a_cluster_in_which_things_always_go_is_backed_up_all_the_same(shelf: Shelf, bucket: Bucket) -> None:
    bucket.while_copying = lambda: 1
    manifest = _create(shelf, bucket).manifest
    assert work.verify(shelf, manifest.name, _quiet)[1] == []


def test_a_full_disk_leaves_nothing(shelf: Shelf, bucket: Bucket) -> None:
    def fill() -> int:
        raise OSError(28, "No space left on device")

    bucket.while_copying = fill
    with pytest.raises(StorageFull):
        _create(shelf, bucket)
    assert shelf.names() == []
    assert sorted(path.name for path in shelf.folder.iterdir()) == [".lock"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("content", "transcripts/t-1/transcript.json: its content"),
        ("databases/v2t.dump", "databases/v2t.dump is damaged"),
        (OBJECTS, f"{OBJECTS} is damaged"),
    ],
)
def test_damage_is_found_and_named(shelf: Shelf, bucket: Bucket, part: str, said: str) -> None:
    manifest = _create(shelf, bucket).manifest
    content = shelf.content(hashlib.sha256(b"hello").hexdigest())
    damaged = content if part == "content" else shelf.folder / manifest.name / part
    work.verify(shelf, "latest", _quiet)
    assert (shelf.folder / manifest.name / work.VERIFIED).exists()
    damaged.write_bytes(b"hellO")

    problems = work.verify(shelf, "latest", _quiet)[1]
    assert len(problems) == 1
    assert problems[0].startswith(said)
    assert not (shelf.folder / manifest.name / work.VERIFIED).exists()


def test_a_dump_that_postgresql_cannot_read_is_named(
    shelf: Shelf, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    _create(shelf, bucket)
    monkeypatch.setattr(databases, "dump_problem", lambda _file: "it is empty")
    assert work.verify(shelf, "latest", _quiet)[1] == ["databases/v2t.dump cannot be read by PostgreSQL: it is empty"]


def test_a_backup_that_is_not_whole_is_not_brought_back(shelf: Shelf, bucket: Bucket) -> None:
    manifest = _create(shelf, bucket).manifest
    shelf.content(hashlib.sha256(b"hello").hexdigest()).unlink()
    with pytest.raises(StorageDamaged, match=rf"{manifest.name} cannot be brought back: .*t-1/transcript.json"):
        work.restore(shelf, bucket, "latest", _quiet)
