"""The three cache levels: this host's disk, the Redis of the cluster, the object store.

What never changes under its key is served without asking the store: recordings, which are named by their content, and
the results of chunks, which are named by all that they follow from. Of everything else the store is asked which version
it has (one short request) and only that one is served. Chunks of audio belong there too: a job that is done afresh
with other settings cuts other chunks under the same names.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from v2t.domain.errors import DISK_FULL, ObjectMissing, StorageDamaged, V2TError
from v2t.domain.ports import ObjectFacts, ObjectStore, OnBytes
from v2t.storage.disk_cache import CacheSize, DiskCache, HeldEntry, Mismatch
from v2t.storage.redis_cache import RedisCache

logger = logging.getLogger(__name__)

_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}"
_FOLDER = re.compile(rf"({_NAME}/)+")
_RECORDING = re.compile(r"audio/([0-9a-f]{64})")
_ON_DISK = re.compile(rf"(audio|models)(/{_NAME})+|t-{_NAME}/chunks/{_NAME}\.wav")
_CHUNK_RESULT = re.compile(rf"t-{_NAME}/chunks/{_NAME}\.json")
_TRANSCRIPT = re.compile(rf"t-{_NAME}/transcript\.json")
_IN_REDIS = re.compile("|".join(kind.pattern for kind in (_ON_DISK, _CHUNK_RESULT, _TRANSCRIPT)))

_BLOCK_BYTES = 1 << 20

_Result = TypeVar("_Result")


class CachedObjectStore:
    """An ObjectStore in front of a slower one; it may be used from many threads and processes.

    A cache that does not work makes it slower and is no error.

    Args:
        store: what is cached.
        disk: this host's disk cache, or None.
        redis: the cluster's Redis, or None.
        metered: keep metrics; their library takes a tenth of a second to load, which a short command can do without.
    """

    def __init__(
        self, store: ObjectStore, disk: DiskCache | None, redis: RedisCache | None = None, *, metered: bool = True
    ) -> None:
        self._store = store
        self._disk = disk
        self._redis = redis
        self._metered = metered
        self._disk_failed = False

    def size(self) -> CacheSize:
        """How full the disk cache is; all zero without one."""
        if self._disk:
            with suppress(OSError):
                return self._disk.size()
        return CacheSize(0, 0, 0)

    def put_file(self, key: str, source: Path, *, move: bool = False, on_bytes: OnBytes | None = None) -> None:
        """Store a file; one that will be read on this host stays in the disk cache.

        Raises:
            StorageError: it could not be kept.
            InputNotFound, InputUnreadable: the source cannot be read.
        """
        keep = self._on_disk(key) and self._fits(source)
        self._store.put_file(key, source, move=move and not keep, on_bytes=on_bytes)
        if not _RECORDING.fullmatch(key):  # which is the same whoever stores it
            self._forget_in_redis([key])
        if keep:
            self._keep(key, source, move=move)
            if move:
                with suppress(OSError):  # the source may be consumed, it need not be
                    source.unlink()

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store a small object. Raises StorageError."""
        self._store.put_bytes(key, data)
        if _CHUNK_RESULT.fullmatch(key) and self._redis:
            self._redis.put(key, data)
        else:
            self._forget_in_redis([key])
        if self._on_disk(key):
            self._keep(key, data)

    def get_bytes(self, key: str) -> bytes:
        """Read a small object. Raises ObjectMissing."""
        if self._on_disk(key):
            with self.open_file(key) as path:
                return path.read_bytes()
        if not (self._redis and self._redis.answers and (_CHUNK_RESULT.fullmatch(key) or _TRANSCRIPT.fullmatch(key))):
            return self._store.get_bytes(key)
        facts = None if _CHUNK_RESULT.fullmatch(key) else self._current(key)
        etag = facts.etag if facts else ""
        data = self._from_redis(key, etag)
        if data is None:
            data = self._store.get_bytes(key)
            self._count("store", hit=True)
            self._redis.put(key, data, etag)
        return data

    @contextmanager
    def open_file(self, key: str) -> Iterator[Path]:
        """The object as a local file, to be read only. Raises ObjectMissing."""
        with ExitStack() as stack:
            entry = self._cached(key) if self._on_disk(key) else None
            if entry:
                stack.callback(entry.close)
                path = entry.path
            else:
                path = stack.enter_context(self._store.open_file(key))
                self._count("store", hit=True)
            yield path

    def exists(self, key: str) -> bool:
        """Whether a whole object stands under the key in the store itself."""
        return self._store.exists(key)

    def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        return self._store.list_keys(prefix)

    def list_objects(self, prefix: str) -> Iterator[ObjectFacts]:
        """What is known of each object whose key begins with `prefix`, sorted by key."""
        return self._store.list_objects(prefix)

    def facts(self, key: str) -> ObjectFacts:
        """What is known of one object. Raises ObjectMissing."""
        return self._store.facts(key)

    def copy(self, source: str, target: str, *, etag: str = "") -> None:
        """Copy an object inside the store. Raises ObjectMissing."""
        self._store.copy(source, target, etag=etag)
        self._forget(target)

    def delete(self, key: str, *, etag: str = "") -> None:
        """Remove an object, or only that version of it; a missing one is no error."""
        self._store.delete(key, etag=etag)
        self._forget(key)

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`, which ends with `/`."""
        keys = self._store.list_keys(prefix) if self._redis and self._redis.answers else []
        self._store.delete_prefix(prefix)
        self._forget_in_redis(keys)
        if _FOLDER.fullmatch(prefix):
            self._try_disk(lambda disk: disk.discard_prefix(prefix))

    def _cached(self, key: str) -> HeldEntry | None:
        """The object's entry in the disk cache, fetched if need be; None where the disk cannot keep it."""
        recording = _RECORDING.fullmatch(key)
        facts = None if recording else self._current(key)
        etag = facts.etag if facts else ""
        entry = self._try_disk(lambda disk: disk.find(key, etag))
        self._count("disk", hit=entry is not None)
        if entry or not self._disk:
            return entry
        facts = facts or self._store.facts(key)
        if facts.size_bytes > self._disk.limit_bytes:
            return None
        sha256 = recording[1] if recording else ""
        entry = self._try_disk(lambda disk: self._fetch(disk, facts, etag, sha256), facts.size_bytes)
        self._measure()
        return entry

    def _fetch(self, disk: DiskCache, facts: ObjectFacts, etag: str, sha256: str) -> HeldEntry | None:
        """Fetch an object into the disk cache, or wait for the one who does."""
        key = facts.key
        with disk.only_one(key):
            if entry := disk.find(key, etag):
                return entry
            small = self._redis is not None and facts.size_bytes <= self._redis.object_bytes
            data = self._from_redis(key, etag) if small else None
            if data is not None:
                with suppress(Mismatch):
                    return disk.enter(key, etag, _writer(data), sha256=sha256)
            with self._store.open_file(key) as path:
                self._count("store", hit=True)
                if small and self._redis:
                    self._redis.put(key, path.read_bytes(), etag)
                try:
                    return disk.enter(key, etag, _copier(path), sha256=sha256)
                except Mismatch:
                    raise StorageDamaged(f"{key} is damaged in the object store; upload the recording again") from None

    def _keep(self, key: str, content: Path | bytes, *, move: bool = False) -> None:
        """Have what was just stored in the disk cache as well."""
        recording = _RECORDING.fullmatch(key)
        try:
            facts = self._store.facts(key)
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
        except (V2TError, OSError):  # it is stored; whoever reads it will see what the store says
            return
        if facts.size_bytes != size:  # somebody else has just stored another one
            return
        etag = "" if recording else facts.etag
        sha256 = recording[1] if recording else ""
        with suppress(Mismatch):
            entry = self._try_disk(lambda disk: _enter(disk, key, etag, sha256, content, move=move))
            if entry:
                entry.close()
                self._measure()

    def _current(self, key: str) -> ObjectFacts:
        """Which version the store has; when it has none, the caches forget theirs. Raises ObjectMissing."""
        try:
            return self._store.facts(key)
        except ObjectMissing:
            self._forget(key)
            raise

    def _from_redis(self, key: str, etag: str) -> bytes | None:
        found = self._redis.get(key) if self._redis else None
        data = found[0] if found and found[1] == etag else None
        self._count("redis", hit=data is not None)
        return data

    def _forget(self, key: str) -> None:
        self._forget_in_redis([key])
        if self._on_disk(key):
            self._try_disk(lambda disk: disk.discard(key))

    def _forget_in_redis(self, keys: list[str]) -> None:
        if self._redis:
            self._redis.discard([key for key in keys if _IN_REDIS.fullmatch(key)])

    def _on_disk(self, key: str) -> bool:
        return self._disk is not None and _ON_DISK.fullmatch(key) is not None

    def _fits(self, source: Path) -> bool:
        try:
            return self._disk is not None and source.stat().st_size <= self._disk.limit_bytes
        except OSError:  # the store says what is wrong with it
            return False

    def _try_disk(self, action: Callable[[DiskCache], _Result], size_bytes: int = 0) -> _Result | None:
        """What the disk cache says, or None where it cannot be used now."""
        if not self._disk:
            return None
        try:
            result = action(self._disk)
        except OSError as error:
            self._disk_fails(self._disk, error, size_bytes)
            return None
        if result:  # it gave or took an object
            self._disk_failed = False
        return result

    def _disk_fails(self, disk: DiskCache, error: OSError, size_bytes: int) -> None:
        if error.errno in DISK_FULL:  # others need the space now, the store's own temporary file first of all
            with suppress(OSError):
                disk.shrink(size_bytes)
        if not self._disk_failed:
            self._disk_failed = True
            logger.warning(
                "the disk cache is not used for now: %s; objects are fetched anew each time",
                error,
                extra={"action": "disk_cache_failed"},
            )

    def _count(self, level: str, *, hit: bool) -> None:
        if self._metered:
            from v2t.metrics import CACHE_REQUESTS

            CACHE_REQUESTS.labels(level, "hit" if hit else "miss").inc()

    def _measure(self) -> None:
        if self._metered:
            from v2t.metrics import CACHE_BYTES

            CACHE_BYTES.set(self.size().bytes_used)


def _enter(disk: DiskCache, key: str, etag: str, sha256: str, content: Path | bytes, *, move: bool) -> HeldEntry | None:
    if isinstance(content, bytes):
        return disk.enter(key, etag, _writer(content), sha256=sha256)
    if move:
        with suppress(OSError):  # on another file system, or not ours alone
            return disk.adopt(key, etag, content, sha256=sha256)
    return disk.enter(key, etag, _copier(content), sha256=sha256)


def _writer(data: bytes) -> Callable[[IO[bytes]], object]:
    return lambda file: file.write(data)


def _copier(source: Path) -> Callable[[IO[bytes]], object]:
    def copy(target: IO[bytes]) -> None:
        with source.open("rb", buffering=0) as data:
            shutil.copyfileobj(data, target, _BLOCK_BYTES)

    return copy
