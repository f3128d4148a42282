"""Copies of objects on this host's disk, shared by all its processes: the least recently used leave first.

`entries/<key>/<sha256>-<etag>` holds one object's content. Its name says what the content must be, so a name and
what it promises come and go in one step, and every hit is read through once and checked against it: what was
half-written, cut off by a power failure or changed on the disk is never served. The time of change is the time of
last use. A file is written under `incoming` and renamed; whoever writes or reads a file holds a lock on it, which
dies with the process. The number of bytes stands in `usage`, and is counted anew before anything is evicted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from v2t.storage.file_locks import exclusive, stands_at, try_exclusive
from v2t.storage.usage import Usage, size_of

_ENTRY = re.compile(r"([0-9a-f]{64})-[0-9a-f]{16}(\.[A-Za-z0-9]{1,16})?")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,16}")
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_SPARE_SHARE = 20
"""Evicting frees a twentieth of the limit more than is needed, so that the next entries need no new count."""


@dataclass(frozen=True, slots=True)
class CacheSize:
    """How full a disk cache is."""

    bytes_used: int
    entries: int
    limit_bytes: int


class Mismatch(Exception):
    """The content that came is not what its key names."""


class HeldEntry:
    """An entry in use: it stays where it is until `close`.

    Args:
        path: the file, to be read only.
        descriptor: open on it, holding its shared lock.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def close(self) -> None:
        """Let the cache do with the entry what it wants."""
        os.close(self._descriptor)


class DiskCache:
    """A cache in one folder. Its methods raise OSError where the disk does not do what it should.

    Args:
        folder: made at the first entry; readable by its owner only.
        limit_bytes: what all entries together may take; those being written come on top.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._folder = folder
        self._entries = folder / "entries"
        self._incoming = folder / "incoming"
        self._locks = folder / "locks"
        self._usage = Usage(folder / "usage", lambda: self._walk(self._entries))
        self._counted = False

    def find(self, key: str, etag: str) -> HeldEntry | None:
        """The object's copy, whole and checked, or None.

        Args:
            key: the object's; made of names that are safe as file names.
            etag: which version of it; empty for one that never changes under its key.
        """
        for path in self._files_of(key):
            if path.stem.rpartition("-")[2] == _etag_name(etag):
                with suppress(FileNotFoundError):  # evicted since it was listed
                    if entry := self._hold(path):
                        return entry
        return None

    @contextmanager
    def only_one(self, key: str) -> Iterator[None]:
        """Be the only one on this host, process or thread, that fetches this object."""
        self._make_folders()
        with exclusive(self._locks / hashlib.sha256(key.encode()).hexdigest(), remove=True):
            yield

    def enter(self, key: str, etag: str, fill: Callable[[IO[bytes]], object], *, sha256: str = "") -> HeldEntry | None:
        """Take in an object; other versions of it leave.

        Args:
            key: the object's.
            etag: as in `find`.
            fill: writes the content.
            sha256: of the content, where it is known beforehand.

        Returns:
            The entry, or None where it is larger than the whole cache.

        Raises:
            Mismatch: the content is not the one of `sha256`.
        """
        with self._incoming_file() as file:
            fill(file)
            file.flush()
            return self._publish(file, Path(file.name), key, etag, sha256)

    def adopt(self, key: str, etag: str, source: Path, *, sha256: str = "") -> HeldEntry | None:
        """Take in a file by renaming it; as `enter`, but an OSError where it cannot be renamed into the cache."""
        self._make_folders()
        there = source.lstat()
        if not stat.S_ISREG(there.st_mode) or there.st_nlink != 1:  # somebody else may change what it holds
            raise OSError(f"{source} is not a file with one name")
        source.chmod(_PRIVATE_FILE)
        with source.open("rb") as file:
            return self._publish(file, source, key, etag, sha256)

    def discard(self, key: str) -> None:
        """Forget an object; a copy that is in use stays, to be evicted later."""
        self._remove(self._files_of(key))

    def discard_prefix(self, prefix: str) -> None:
        """Forget the objects below `prefix`, which ends with `/`."""
        self._remove(file for file in self._walk(self._entries / prefix))

    def shrink(self, wanted_bytes: int) -> None:
        """Give that many bytes back to a disk that is full."""
        with self._locked():
            self._count()
            self._evict(max(0, self._usage.read()[0] - wanted_bytes))

    def size(self) -> CacheSize:
        """How full it is; cheap enough to be asked for often."""
        used, entries = self._usage.read() if self._folder.is_dir() else (0, 0)
        return CacheSize(used, entries, self.limit_bytes)

    def _hold(self, path: Path) -> HeldEntry | None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not stands_at(path, descriptor):  # evicted before it was locked
                os.close(descriptor)
                return None
            if _digest(descriptor) == path.name[:64]:
                with suppress(OSError):  # a read-only disk can still be read from
                    os.utime(descriptor, ns=(time.time_ns(),) * 2)
                return HeldEntry(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        self._remove([path])
        return None

    @contextmanager
    def _incoming_file(self) -> Iterator[IO[bytes]]:
        with self._locked():  # else it would be swept before it is locked
            file = tempfile.NamedTemporaryFile(dir=self._incoming, delete=False)  # noqa: SIM115 - closed below
            fcntl.flock(file, fcntl.LOCK_EX)
        with file:
            try:
                yield file
            finally:
                with suppress(FileNotFoundError):  # it was renamed to its place
                    Path(file.name).unlink()

    def _publish(self, file: IO[bytes], written: Path, key: str, etag: str, sha256: str) -> HeldEntry | None:
        digest = _digest(file.fileno())
        if sha256 and digest != sha256:
            raise Mismatch
        size = os.fstat(file.fileno()).st_size
        suffix = Path(key).suffix if _SUFFIX.fullmatch(Path(key).suffix) else ""
        final = self._entries / key / f"{digest}-{_etag_name(etag)}{suffix}"
        with self._locked():
            for old in self._files_of(key):
                self._unlink(old)
            if not self._make_room(size):
                return None
            # Counted before it stands there: a process that dies in between leaves a number too high, never too low.
            self._usage.change(size - size_of(final), int(not final.exists()))
            os.utime(file.fileno(), ns=(time.time_ns(),) * 2)
            final.parent.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
            written.replace(final)
            descriptor = os.open(final, os.O_RDONLY)
            fcntl.flock(file, fcntl.LOCK_UN)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return HeldEntry(final, descriptor)

    def _make_room(self, size_bytes: int) -> bool:
        if size_bytes > self.limit_bytes:
            return False
        if not self._counted:
            self._count()
            self._counted = True
        if self._usage.read()[0] + size_bytes > self.limit_bytes:
            self._count()
            self._evict(max(0, self.limit_bytes - size_bytes - self.limit_bytes // _SPARE_SHARE))
        return self._usage.read()[0] + size_bytes <= self.limit_bytes

    def _evict(self, target_bytes: int) -> None:
        """Remove the least recently used until no more than `target_bytes` are left."""
        if self._usage.read()[0] <= target_bytes:
            return
        for path in sorted(self._walk(self._entries), key=_last_use):
            if self._usage.read()[0] <= target_bytes:
                break
            self._unlink(path)

    def _remove(self, paths: Iterator[Path] | list[Path]) -> None:
        found = list(paths)
        if found:
            with self._locked():
                for path in found:
                    self._unlink(path)

    def _unlink(self, path: Path) -> None:
        """Remove an entry that nobody uses, and the folders it leaves empty; under the folder's lock."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            if not try_exclusive(descriptor):
                return
            size = os.fstat(descriptor).st_size
            path.unlink()
            self._usage.change(-size, -1)
        finally:
            os.close(descriptor)
        for folder in path.parents:
            if folder == self._entries:
                break
            try:
                folder.rmdir()
            except OSError:  # not empty
                break

    def _count(self) -> None:
        """Count what is there, and remove what killed writers left."""
        for file in self._incoming.iterdir():
            with suppress(FileNotFoundError), file.open("rb") as left:  # its writer has just moved or removed it
                if try_exclusive(left.fileno()):
                    file.unlink()
        self._usage.count()

    def _files_of(self, key: str) -> list[Path]:
        try:
            return [path for path in (self._entries / key).iterdir() if _ENTRY.fullmatch(path.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _walk(self, top: Path) -> Iterator[Path]:
        for folder, _, names in os.walk(top):
            yield from (Path(folder, name) for name in names if _ENTRY.fullmatch(name))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._make_folders()
        with exclusive(self._folder / "lock"):
            yield

    def _make_folders(self) -> None:
        self._folder.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
        for folder in (self._entries, self._incoming, self._locks):
            folder.mkdir(_PRIVATE_FOLDER, exist_ok=True)


def _etag_name(etag: str) -> str:
    return hashlib.sha256(etag.encode()).hexdigest()[:16]


def _last_use(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _digest(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False, buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
