"""The buckets' part of a backup: contents into the pool, each once, and back into the buckets."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from v2t.cluster.backups.manifest import StoredObject
from v2t.cluster.backups.shelf import Shelf
from v2t.domain.errors import ObjectMissing, StorageDamaged
from v2t.storage.minio_client import Buckets, StoreAccount, named_errors, open_client
from v2t.storage.minio_download import blocks_of

if TYPE_CHECKING:
    from minio import Minio
    from minio.datatypes import Object

PURPOSES = ("transcripts", "archive", "audio", "models")
"""In the order in which they are copied: a transcript that moves to the archive meanwhile is met there."""
_AT_ONCE = 8
_AHEAD = 256
_METADATA = "x-amz-meta-"

One = TypeVar("One")

OnObject = Callable[[StoredObject], object]
"""Told of each object that is done."""


class Bucketeer:
    """Reads and writes whole buckets.

    Args:
        account: who asks the object store.
        buckets: what the buckets are called.
        shelf: whose pool holds the contents.
        part_bytes: a larger object is put in parts of this size.
    """

    def __init__(self, account: StoreAccount, buckets: Buckets, shelf: Shelf, part_bytes: int) -> None:
        self._account = account
        self._shelf = shelf
        self._part_bytes = part_bytes
        self._names = {purpose: str(getattr(buckets, purpose)) for purpose in PURPOSES}
        self._client: Minio = open_client(account)

    def take_all(self, earlier: Iterator[StoredObject], on_object: OnObject) -> int:
        """Bring what is in the buckets into the pool.

        Args:
            earlier: what the pool has already, in the order in which this method told of it.
            on_object: told of each object, in order.

        Returns:
            How many objects went while they were copied.

        Raises:
            StorageError, ConnectionFailed, ConfigurationError: the object store or the disk failed.
        """
        known = Cursor(earlier)
        gone = 0
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            entries = ((purpose, entry) for purpose in self._own() for entry in self._listing(purpose))
            for batch in in_batches(entries):
                wanted = [(*pair, known.find(pair[0], str(pair[1].object_name))) for pair in batch]
                for found in threads.map(lambda each: self._take(*each), wanted):
                    gone += found is None
                    if found:
                        on_object(found)
        return gone

    def put_all(self, objects: Iterator[StoredObject], on_object: OnObject) -> int:
        """Make the buckets have these objects; one that is there already is not sent again, and none is deleted.

        Returns:
            How many were sent.

        Raises:
            StorageDamaged: a content in the pool is not what it was.
            StorageError, ConnectionFailed, ConfigurationError: the object store failed.
        """
        there = Listed(self._listing)
        sent = 0
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for batch in in_batches(objects):
                missing = [each for each in batch if not there.has(each)]
                list(threads.map(self._put, missing))
                sent += len(missing)
                for each in batch:
                    on_object(each)
        return sent

    def try_out(self) -> None:
        """See that the object store lets us in. Raises ConnectionFailed, CredentialsRefused, ConfigurationError."""
        for name in self._own().values():
            with named_errors(self._account, name):
                next(iter(self._client.list_objects(name)), None)

    def _own(self) -> dict[str, str]:
        """Purpose → bucket, each bucket once."""
        first: dict[str, str] = {}
        for purpose, name in self._names.items():
            if name not in first.values():
                first[purpose] = name
        return first

    def _listing(self, purpose: str) -> Iterator[Object]:
        name = self._names[purpose]
        with named_errors(self._account, name):
            for entry in self._client.list_objects(name, recursive=True):
                if not str(entry.object_name).endswith("/"):  # a folder that some client made
                    yield entry

    def _take(self, purpose: str, entry: Object, known: StoredObject | None) -> StoredObject | None:
        if known and is_same(known, entry) and self._shelf.content(known.sha256).is_file():
            return known
        try:
            return self._fetch(purpose, str(entry.object_name))
        except ObjectMissing:
            return None

    def _fetch(self, purpose: str, key: str) -> StoredObject:
        bucket, incoming = self._names[purpose], self._shelf.incoming
        incoming.mkdir(0o700, parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        handle, draft = tempfile.mkstemp(dir=incoming)
        try:
            with os.fdopen(handle, "wb") as file, named_errors(self._account, key):
                response = self._client.get_object(bucket, key)
                headers = {name.lower(): value for name, value in response.headers.items()}
                for block in blocks_of(self._client, bucket, key, response):
                    digest.update(block)
                    size += len(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            place = self._shelf.content(digest.hexdigest())
            place.parent.mkdir(0o700, exist_ok=True)
            Path(draft).replace(place)
        finally:
            with suppress(FileNotFoundError):
                Path(draft).unlink()
        return described(purpose, key, size, digest.hexdigest(), headers)

    def _put(self, wanted: StoredObject) -> None:
        path = self._shelf.content(wanted.sha256)
        if problem := content_problem(path, wanted):
            raise StorageDamaged(problem)
        with named_errors(self._account, wanted.key), path.open("rb") as file:
            self._client.put_object(
                self._names[wanted.bucket],
                wanted.key,
                file,
                wanted.size_bytes,
                content_type=wanted.content_type or "application/octet-stream",
                metadata=dict(wanted.metadata),
                part_size=self._part_bytes,
                num_parallel_uploads=1,
            )


class Cursor:
    """Finds objects in a long sequence by going along it once: both sides are in the order of purposes and keys."""

    def __init__(self, objects: Iterator[StoredObject]) -> None:
        self._objects = objects
        self._next = next(objects, None)

    def find(self, purpose: str, key: str) -> StoredObject | None:
        """The object, where it is in the sequence; asked for in the order of the sequence."""
        wanted = (PURPOSES.index(purpose), key)
        while self._next and (PURPOSES.index(self._next.bucket), self._next.key) < wanted:
            self._next = next(self._objects, None)
        found = self._next
        return found if found and (found.bucket, found.key) == (purpose, key) else None


class Listed:
    """What stands in the buckets, asked for in order."""

    def __init__(self, listing: Callable[[str], Iterator[Object]]) -> None:
        self._listing = listing
        self._purpose = ""
        self._entries: Iterator[Object] = iter(())
        self._next: Object | None = None

    def has(self, wanted: StoredObject) -> bool:
        """Whether the bucket has this very object."""
        if wanted.bucket != self._purpose:
            self._purpose, self._entries = wanted.bucket, self._listing(wanted.bucket)
            self._next = next(self._entries, None)
        while self._next and str(self._next.object_name) < wanted.key:
            self._next = next(self._entries, None)
        return bool(self._next and self._next.object_name == wanted.key and is_same(wanted, self._next))


def in_batches(many: Iterator[One]) -> Iterator[list[One]]:
    """So many at a time as are worked on at once; the rest is not read yet."""
    while batch := list(islice(many, _AHEAD)):
        yield batch


def is_same(known: StoredObject, entry: Object) -> bool:
    """Whether a listed object is one that was copied."""
    return (known.etag, known.size_bytes) == ((entry.etag or "").strip('"'), entry.size)


def described(purpose: str, key: str, size_bytes: int, sha256: str, headers: Mapping[str, Any]) -> StoredObject:
    """An object that has come, from the headers of its answer, whose names are in lower case."""
    metadata = {
        name.removeprefix(_METADATA): str(value) for name, value in headers.items() if name.startswith(_METADATA)
    }
    etag = str(headers.get("etag", "")).strip('"')
    return StoredObject(purpose, key, size_bytes, etag, sha256, str(headers.get("content-type", "")), metadata)


def content_problem(path: Path, wanted: StoredObject) -> str:
    """What is wrong with an object's content in the pool; empty: nothing."""
    name = f"{wanted.bucket}/{wanted.key}"
    if not path.is_file():
        return f"{name}: its content {path} is gone"
    return "" if digest_of(path) == wanted.sha256 else f"{name}: its content {path} is damaged"


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
