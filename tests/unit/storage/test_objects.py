from __future__ import annotations

import errno
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from v2t.domain.errors import InputUnreadable, StorageError, StorageFull, StorageUnwritable, UsageError
from v2t.storage.objects import DirectoryObjectStore

KEY = "audio/abc"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "objects"


@pytest.fixture
def store(folder: Path) -> DirectoryObjectStore:
    return DirectoryObjectStore(folder)


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refuse(code: int) -> Callable[..., int]:
    def raise_error(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    return raise_error


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "../up", "a/../b", "a/./b", "a//b", "a/", "a\0b", "a b", "é", ".incoming/x", "a\n"]
)
def test_a_key_that_could_leave_the_folder_is_refused(store: DirectoryObjectStore, key: str) -> None:
    with pytest.raises(UsageError, match="not an object key"):
        store.put_bytes(key, b"")
    with pytest.raises(UsageError, match="not an object key"):
        store.get_bytes(key)


@pytest.mark.parametrize("prefix", ["", "/", "audio", "../", "audio/../"])
def test_only_a_folder_of_objects_can_be_deleted_at_once(store: DirectoryObjectStore, prefix: str) -> None:
    store.put_bytes(KEY, b"speech")
    with pytest.raises(UsageError):
        store.delete_prefix(prefix)
    assert store.exists(KEY)


def test_recordings_are_readable_by_their_owner_only(store: DirectoryObjectStore, folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.wav"
    source.write_bytes(b"speech")
    source.chmod(0o666)
    store.put_bytes("audio/one", b"speech")
    store.put_file("audio/two", source)
    store.put_file("audio/three", source, move=True)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {(folder / key).stat().st_mode & 0o777 for key in store.list_keys("audio/")} == {0o600}


def test_an_object_is_opened_where_it_stands(store: DirectoryObjectStore, folder: Path) -> None:
    store.put_bytes(KEY, b"speech")
    with store.open_file(KEY) as path:
        assert path == folder / KEY


def test_a_moved_file_is_renamed_and_not_copied(store: DirectoryObjectStore, folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.wav"
    source.write_bytes(b"speech")
    inode = source.stat().st_ino
    store.put_file(KEY, source, move=True)
    assert (folder / KEY).stat().st_ino == inode


def test_a_file_with_a_second_name_is_copied_when_moved(store: DirectoryObjectStore, tmp_path: Path) -> None:
    source, second = tmp_path / "source.wav", tmp_path / "second.wav"
    source.write_bytes(b"speech")
    second.hardlink_to(source)
    store.put_file(KEY, source, move=True)
    second.write_bytes(b"other")
    assert not source.exists()
    assert store.get_bytes(KEY) == b"speech"


def test_a_folder_is_refused_as_a_source(store: DirectoryObjectStore, tmp_path: Path) -> None:
    with pytest.raises(InputUnreadable, match="cannot be read"):
        store.put_file(KEY, tmp_path)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_copy_the_kernel_cannot_make_goes_through_memory(
    store: DirectoryObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "copy_file_range", refuse(code))
    source = tmp_path / "source.wav"
    source.write_bytes(os.urandom(3_000_001))
    store.put_file(KEY, source)
    assert store.get_bytes(KEY) == source.read_bytes()


@pytest.mark.parametrize("call", ["copy_file_range", "fsync"])
@pytest.mark.parametrize(
    ("code", "error", "advice"),
    [
        (errno.ENOSPC, StorageFull, "free some"),
        (errno.EDQUOT, StorageFull, "free some"),
        (errno.EROFS, StorageUnwritable, "standalone.folder"),
        (errno.EACCES, StorageUnwritable, "standalone.folder"),
        (errno.EIO, StorageError, "check the disk"),
    ],
)
def test_a_failed_write_names_the_folder_and_leaves_nothing(
    store: DirectoryObjectStore,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
    error: type[StorageError],
    advice: str,
) -> None:
    source = tmp_path / "source.wav"
    source.write_bytes(b"speech")
    monkeypatch.setattr(os, call, refuse(code))
    with pytest.raises(error, match=advice) as raised:
        store.put_file(KEY, source)
    assert str(folder) in raised.value.message
    assert type(raised.value) is error
    assert files_below(folder) == []


def test_a_failed_write_keeps_the_object_that_stood_there(
    store: DirectoryObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes(KEY, b"first")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse(errno.ENOSPC))
        with pytest.raises(StorageFull):
            store.put_bytes(KEY, b"second")
    assert store.get_bytes(KEY) == b"first"


def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(StorageUnwritable, match="/sys/v2t is read-only or belongs to another user"):
        DirectoryObjectStore(Path("/sys/v2t"))


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"")
    with pytest.raises(StorageError, match="objects cannot be used"):
        DirectoryObjectStore(tmp_path / "objects")


def test_what_a_killed_writer_left_is_removed_after_a_day(store: DirectoryObjectStore, folder: Path) -> None:
    abandoned, written_now = folder / ".incoming" / "abandoned", folder / ".incoming" / "now"
    abandoned.write_bytes(b"half")
    written_now.write_bytes(b"half")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(abandoned, (two_days_ago, two_days_ago))
    DirectoryObjectStore(folder)
    assert files_below(folder) == [".incoming/now"]
    assert store.list_keys("") == []


def test_the_folder_is_made_again_when_somebody_removed_it(store: DirectoryObjectStore, folder: Path) -> None:
    (folder / ".incoming").rmdir()
    folder.rmdir()
    store.put_bytes(KEY, b"speech")
    assert store.get_bytes(KEY) == b"speech"


def _write_and_delete(folder: Path, letter: str, failures: multiprocessing.SimpleQueue[str]) -> None:
    store = DirectoryObjectStore(folder)
    try:
        for _ in range(60):
            store.put_bytes("jobs/t-1/same", letter.encode() * 100_000)
            data = store.get_bytes("jobs/t-1/same") if letter == "a" else b""
            if len(set(data)) > 1 or len(data) not in (0, 100_000):
                failures.put("a mixed or partial object")
            store.put_bytes(f"jobs/{letter}/own", b"x")
            store.delete_prefix("jobs/a/")
    except Exception as error:  # noqa: BLE001 - the parent reports it
        failures.put(repr(error))


def test_processes_that_write_the_same_key_leave_one_whole_object(folder: Path) -> None:
    spawn = multiprocessing.get_context("forkserver")
    failures: multiprocessing.SimpleQueue[str] = spawn.SimpleQueue()
    writers = [spawn.Process(target=_write_and_delete, args=(folder, letter, failures)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert failures.empty(), failures.get()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(set(DirectoryObjectStore(folder).get_bytes("jobs/t-1/same"))) == 1
    assert [key for key in files_below(folder) if key.startswith(".incoming")] == []


def test_the_age_of_a_moved_file_counts_from_when_it_was_stored(store: DirectoryObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source.wav"
    source.write_bytes(b"speech")
    os.utime(source, (0, 0))
    store.put_file(KEY, source, move=True)
    store.expire("audio/", 3600)
    assert store.facts(KEY).modified_at > time.time() - 60


def test_an_object_that_is_replaced_while_it_is_deleted_stays(
    store: DirectoryObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes(KEY, b"one")
    delete = DirectoryObjectStore._delete_unless_replaced

    def replaced_just_before(self: DirectoryObjectStore, path: Path, etag: str) -> None:
        self.put_bytes(KEY, b"two")
        delete(self, path, etag)

    monkeypatch.setattr(DirectoryObjectStore, "_delete_unless_replaced", replaced_just_before)
    store.delete(KEY, etag=store.facts(KEY).etag)
    assert store.get_bytes(KEY) == b"two"
    assert files_below(folder) == [KEY]
