"""Which backups are whole, which leave, and what of the pool goes with them."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from v2t.cluster.backups.manifest import OBJECTS, Manifest, StoredObject
from v2t.cluster.backups.shelf import MANIFEST, Shelf, name_of, named_disk_errors
from v2t.domain.errors import ClusterBusy, StorageDamaged, StorageFull, StorageUnwritable, UsageError


def _day(number: int) -> datetime:
    return datetime(2026, 11, number, 1, 30, tzinfo=UTC)


def _content(shelf: Shelf, letter: str) -> Path:
    path = shelf.content(letter * 64)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def _make(shelf: Shelf, day: int, *letters: str) -> str:
    """A backup with an object for each letter, whose digest is that letter 64 times."""
    with shelf.begun(_day(day)) as draft:
        for letter in letters:
            _content(shelf, letter)
        objects = (StoredObject("audio", letter, 0, "", letter * 64) for letter in letters)
        (draft / OBJECTS).write_text("".join(each.to_line() for each in objects))
        manifest = Manifest(name_of(_day(day)), "1", {}, {}, {}, 0)
        (draft / MANIFEST).write_text(manifest.to_text())
    return name_of(_day(day))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_a_backup_is_there_when_it_is_whole(shelf: Shelf) -> None:
    with shelf.begun(_day(1)):
        assert shelf.names() == []
    assert shelf.names() == ["2026-11-01T013000Z"]


def test_nothing_is_left_of_one_that_fails(shelf: Shelf) -> None:
    def interrupted() -> None:
        with shelf.begun(_day(1)) as draft:
            _content(shelf, "a")
            (draft / OBJECTS).touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path for path in shelf.folder.rglob("*") if path.is_file()] == []


def test_what_a_killed_one_left_is_no_backup_and_goes_with_the_next(shelf: Shelf) -> None:
    kept = _make(shelf, 1, "a")
    killed = shelf.folder / "2026-11-02T013000Z.incomplete"
    killed.mkdir()
    stray = _content(shelf, "b")

    assert shelf.names() == [kept]
    _make(shelf, 3)
    assert not killed.exists()
    assert not stray.exists()
    assert shelf.content("a" * 64).exists()


def test_the_oldest_leave_with_the_contents_that_only_they_have(shelf: Shelf) -> None:
    first, second, third = _make(shelf, 1, "a", "b"), _make(shelf, 2, "b"), _make(shelf, 3, "c")
    assert shelf.keep(2) == [first]
    assert shelf.names() == [second, third]
    assert not shelf.content("a" * 64).exists()
    assert shelf.content("b" * 64).exists()


def test_a_backup_is_found_by_its_name_and_as_the_latest(shelf: Shelf) -> None:
    first, second = _make(shelf, 1), _make(shelf, 2)
    assert shelf.find(first).name == first
    assert shelf.find("latest").name == second
    assert shelf.read_manifest(shelf.find("latest")).name == second


@pytest.mark.parametrize("name", ["latest", "2026-11-09T013000Z", "../etc", ""])
def test_a_backup_that_is_not_there_is_not_found(shelf: Shelf, name: str) -> None:
    with pytest.raises(UsageError, match="v2t cluster backup list"):
        shelf.find(name)


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[]", '{"format": 1, "files": {}, "buckets": {}}'])
def test_a_manifest_that_is_none_is_damaged(shelf: Shelf, text: str) -> None:
    backup = shelf.folder / _make(shelf, 1)
    (backup / MANIFEST).write_text(text)
    with pytest.raises(StorageDamaged):
        shelf.read_manifest(backup)


def test_one_at_a_time_works_with_the_backups(shelf: Shelf) -> None:
    with shelf.alone(), pytest.raises(ClusterBusy), Shelf(shelf.folder).alone():
        pass
    with shelf.alone():
        pass


def test_a_full_disk_is_called_that(tmp_path: Path) -> None:
    with pytest.raises(StorageFull, match="backup_folder"), named_disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnwritable, match="nowhere"), Shelf(tmp_path / "nowhere").alone():
        pass
