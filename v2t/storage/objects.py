"""Objects in a folder of this machine.

A key's object is the file of that name below the folder. It is written under `.incoming` in the same file
system, flushed to the disk and renamed, so a final name never stands for a partial object, however many
processes write the same key and whenever one of them dies.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

from v2t.domain.errors import (
    DISK_FULL,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnwritable,
    UsageError,
)
from v2t.domain.ports import ObjectFacts, OnBytes
from v2t.storage.files import copy_content, flush_folder, opened_source

_KEY_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
"""One name between slashes. No leading dot: it would be a parent folder or one of the store's own names."""

_INCOMING = ".incoming"
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_ABANDONED_SECONDS = 86_400
_PUBLISH_ATTEMPTS = 10

_FULL = DISK_FULL | {errno.EFBIG}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


class DirectoryObjectStore:
    """An ObjectStore below one folder, readable by its owner only.

    Args:
        folder: where the objects stand; made when missing.

    Raises:
        StorageUnwritable: the folder cannot be made or written.
        StorageFull: no space is left.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / _INCOMING
        with self._named_errors():
            self._make_folders()
            self._sweep_abandoned()

    def put_file(self, key: str, source: Path, *, move: bool = False, on_bytes: OnBytes | None = None) -> None:
        """Store a file; with `move` it is renamed, or copied and removed where it cannot be renamed.

        Raises:
            StorageError: it could not be kept; nothing new stands under the key.
            InputNotFound: the source does not exist.
            InputUnreadable: the source is not a file that can be read.
        """
        final = self._path(key)
        with opened_source(source) as data:
            told = on_bytes or _ignore
            if move and self._adopt(source, data, final):
                told(os.fstat(data.fileno()).st_size)
                return
            with self._new_object(final) as target:
                copy_content(data, target, told)
        if move:
            with suppress(OSError):  # the source may be consumed, it need not be
                source.unlink()

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store a small object. Raises StorageError."""
        with self._new_object(self._path(key)) as target:
            target.write(data)

    def get_bytes(self, key: str) -> bytes:
        """Read a small object. Raises ObjectMissing."""
        with self.open_file(key) as path, self._named_errors():
            try:
                return path.read_bytes()
            except FileNotFoundError:
                self._raise_missing(key)

    @contextmanager
    def open_file(self, key: str) -> Iterator[Path]:
        """The object's own file, to be read only. Raises ObjectMissing."""
        if not self.exists(key):
            self._raise_missing(key)
        yield self._path(key)

    def exists(self, key: str) -> bool:
        """Whether a whole object stands under the key."""
        with self._named_errors():
            return self._path(key).is_file()

    def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        parent = prefix.rpartition("/")[0]
        keys = (file.relative_to(self._folder).as_posix() for _, files in self._walk(parent) for file in files)
        return sorted(key for key in keys if key.startswith(prefix))

    def list_objects(self, prefix: str) -> Iterator[ObjectFacts]:
        """What is known of each object whose key begins with `prefix`, sorted by key."""
        for key in self.list_keys(prefix):
            with suppress(ObjectMissing):  # deleted since
                yield self.facts(key)

    def facts(self, key: str) -> ObjectFacts:
        """What is known of one object. Raises ObjectMissing."""
        with self._named_errors():
            try:
                there = self._path(key).stat()
            except (FileNotFoundError, NotADirectoryError):
                self._raise_missing(key)
            if not stat.S_ISREG(there.st_mode):
                self._raise_missing(key)
        return ObjectFacts(key, there.st_size, _etag(there), there.st_mtime)

    def copy(self, source: str, target: str, *, etag: str = "") -> None:
        """Copy an object. Raises ObjectMissing."""
        final = self._path(target)
        try:
            data = self._path(source).open("rb", buffering=0)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._raise_missing(source)
        except OSError as error:
            raise self._named(error) from error
        with data:
            if etag and _etag(os.fstat(data.fileno())) != etag:
                raise ObjectMissing(f"{source} is no longer the content that was asked for")
            with self._new_object(final) as file:
                copy_content(data, file, _ignore)

    def delete(self, key: str, *, etag: str = "") -> None:
        """Remove an object; a missing one is no error, nor one that is not the content `etag` names."""
        path = self._path(key)
        with self._named_errors(), suppress(FileNotFoundError):
            if not etag:
                path.unlink()
            elif _etag(path.stat()) == etag:
                self._delete_unless_replaced(path, etag)

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`, which ends with `/`, and its emptied folders."""
        if not prefix.endswith("/"):
            raise UsageError(f"not the prefix of a folder of objects: {prefix!r}")
        for folder, files in self._walk(prefix[:-1] or prefix):
            with self._named_errors():
                for file in files:
                    file.unlink(missing_ok=True)
            with suppress(OSError):  # not empty: another process has just stored something there
                folder.rmdir()

    def expire(self, prefix: str, age_seconds: float) -> None:
        """Remove the objects below `prefix` that were stored longer ago than `age_seconds`."""
        oldest = time.time() - age_seconds
        for key in self.list_keys(prefix):
            with suppress(FileNotFoundError):
                if self._path(key).stat().st_mtime < oldest:
                    self.delete(key)

    def _delete_unless_replaced(self, path: Path, etag: str) -> None:
        """Take the object away first, so that what is looked at is what is removed."""
        taken = self._incoming / uuid.uuid4().hex
        path.rename(taken)
        if _etag(taken.stat()) != etag:
            with suppress(FileExistsError):  # replaced once more
                path.hardlink_to(taken)
        taken.unlink()

    def _path(self, key: str) -> Path:
        if not all(_KEY_PART.fullmatch(part) for part in key.split("/")):
            raise UsageError(f"not an object key: {key!r}")
        return self._folder / key

    def _walk(self, parent: str) -> Iterator[tuple[Path, list[Path]]]:
        """Each folder from `parent` down with its files, the deepest first; none when it does not exist."""
        top = self._path(parent) if parent else self._folder
        for folder, _, names in os.walk(top, topdown=False, onerror=self._raise_unless_vanished):
            here = Path(folder)
            if _INCOMING not in here.relative_to(self._folder).parts:
                yield here, [here / name for name in names]

    @contextmanager
    def _new_object(self, final: Path) -> Iterator[IO[bytes]]:
        """A file that stands at `final` once the block ends well, and nowhere if it does not."""
        with self._named_errors():
            self._make_folders()
            with tempfile.NamedTemporaryFile(dir=self._incoming, delete=False) as file:  # mode 0600
                written = Path(file.name)
                try:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    self._publish(written, final)
                except BaseException:
                    written.unlink(missing_ok=True)
                    raise

    def _adopt(self, source: Path, data: IO[bytes], final: Path) -> bool:
        """Make the source itself the object, if it is an own file with one name on the same file system."""
        with self._named_errors(), suppress(PermissionError):  # another user's file: copy it
            self._make_folders()
            there = source.lstat()
            same_disk = there.st_dev == self._incoming.stat().st_dev
            if not (same_disk and stat.S_ISREG(there.st_mode) and there.st_nlink == 1):
                return False
            source.chmod(_PRIVATE_FILE)
            os.fsync(data.fileno())
            self._publish(source, final)
            return True
        return False

    def _publish(self, written: Path, final: Path) -> None:
        for attempt in range(1, _PUBLISH_ATTEMPTS + 1):
            now = time.time_ns()
            os.utime(written, ns=(now, now))  # by it an object is told from the one it replaces, and its age is counted
            try:
                final.parent.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
                written.replace(final)
            except FileNotFoundError:  # another process deleted the emptied parent in between
                if attempt == _PUBLISH_ATTEMPTS:
                    raise
            else:
                with suppress(FileNotFoundError):  # another process has just deleted the object again
                    flush_folder(final.parent)
                return

    def _make_folders(self) -> None:
        self._folder.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
        self._incoming.mkdir(_PRIVATE_FOLDER, exist_ok=True)

    def _sweep_abandoned(self) -> None:
        """Remove what killed writers left; a living writer's file was changed within the day."""
        oldest = time.time() - _ABANDONED_SECONDS
        for file in self._incoming.iterdir():
            with suppress(FileNotFoundError):  # another process sweeps too
                if file.stat().st_mtime < oldest:
                    file.unlink()

    def _raise_missing(self, key: str) -> NoReturn:
        raise ObjectMissing(f"{key} is gone from {self._folder}; run the command again on the original file")

    def _raise_unless_vanished(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise self._named(error) from error

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._named(error) from error

    def _named(self, error: OSError) -> StorageError:
        if error.errno in _FULL:
            return StorageFull(f"no space is left in {self._folder}; free some and run the command again")
        if error.errno in _FORBIDDEN:
            return StorageUnwritable(
                f"{self._folder} is read-only or belongs to another user; "
                "make it writable or set standalone.folder to another folder"
            )
        return StorageError(
            f"{self._folder} cannot be used: {error.strerror}; check the disk and run the command again"
        )


def _ignore(_: int) -> None:
    pass


def _etag(there: os.stat_result) -> str:
    return f"{there.st_ino:x}-{there.st_mtime_ns:x}-{there.st_size:x}"
