"""A backup on its way, by the real tar, between two folders of this machine."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from v2t.cluster.backups import transport
from v2t.cluster.backups.manifest import OBJECTS, Manifest, StoredObject
from v2t.cluster.backups.shelf import MANIFEST, Shelf, name_of
from v2t.cluster.backups.transport import AS_ACCOUNT, Transport
from v2t.cluster.hosts import Host
from v2t.domain.errors import HostUnreachable, StorageError, UsageError


@pytest.fixture(autouse=True)
def without_another_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "as_root", lambda command: command.removeprefix(AS_ACCOUNT))


@pytest.fixture
def there(tmp_path: Path) -> Shelf:
    (tmp_path / "the host's").mkdir()
    return Shelf(tmp_path / "the host's")


@pytest.fixture
def here(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "mine")


def _way(there: Shelf, here: Shelf) -> Transport:
    host = Host("m2", is_local=True)
    return Transport(host, PurePosixPath(there.folder), here, lambda _words: None)


def _make(shelf: Shelf, day: int, *contents: bytes) -> str:
    moment = datetime(2026, 11, day, tzinfo=UTC)
    with shelf.begun(moment) as draft:
        (draft / "databases").mkdir()
        (draft / "databases" / "v2t.dump").write_text(f"dump {day}")
        lines = []
        for content in contents:
            digest = hashlib.sha256(content).hexdigest()
            shelf.content(digest).parent.mkdir(parents=True, exist_ok=True)
            shelf.content(digest).write_bytes(content)
            lines.append(StoredObject("audio", content.decode(), len(content), "", digest).to_line())
        (draft / OBJECTS).write_text("".join(lines))
        (draft / MANIFEST).write_text(Manifest(name_of(moment), "1", {}, {}, {}, 0).to_text())
    return name_of(moment)


def _files(shelf: Shelf) -> dict[str, bytes]:
    paths = (path for path in shelf.folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(shelf.folder)): path.read_bytes() for path in paths}


def test_only_what_is_missing_is_fetched(there: Shelf, here: Shelf) -> None:
    assert _way(there, here).fetch(_make(there, 1, b"one", b"two")) == 2
    second = _make(there, 2, b"two", b"three")
    assert _way(there, here).fetch(second) == 1
    assert _files(here) == _files(there)
    assert _way(there, here).fetch(second) == 0


def test_only_what_is_missing_is_sent(there: Shelf, here: Shelf) -> None:
    here.folder.mkdir()
    _make(there, 1, b"one")
    name = _make(here, 2, b"one", b"two")
    assert _way(there, here).send("latest") == 1
    assert there.read_manifest(there.find(name)).name == name
    assert _files(there).items() >= _files(here).items()
    assert _way(there, here).send(name) == 0


def test_a_backup_without_objects_travels_too(there: Shelf, here: Shelf) -> None:
    name = _make(there, 1)
    assert _way(there, here).fetch(name) == 0
    assert here.names() == [name]


def test_of_one_that_did_not_come_whole_nothing_is_left(there: Shelf, here: Shelf) -> None:
    name = _make(there, 1, b"one", b"two")
    there.content(hashlib.sha256(b"two").hexdigest()).unlink()
    with pytest.raises(StorageError, match="m2: the backup did not travel whole"):
        _way(there, here).fetch(name)
    assert _files(here) == {}


def test_a_host_that_is_not_reached_is_told_apart_from_one_whose_backup_broke_off(here: Shelf) -> None:
    host = Host("m2", address="127.0.0.1", port=1)

    with pytest.raises(HostUnreachable, match=r"m2: .*v2t cluster doctor"):
        Transport(host, PurePosixPath("/nowhere"), here, lambda _words: None).fetch("2026-11-26T000000Z")
    assert here.names() == []


def test_one_that_nobody_has_is_not_sent(there: Shelf, here: Shelf) -> None:
    here.folder.mkdir()
    with pytest.raises(UsageError):
        _way(there, here).send("latest")
