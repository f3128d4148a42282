"""Objects in MinIO, or in another store that speaks S3.

An object under `audio/<sha256>` is checked against its key whenever it is read, any other against the digest that
stands in its metadata; one that another program put there, such as a recording below `incoming/`, has none.
"""

from __future__ import annotations

import hashlib
import heapq
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from v2t.domain.errors import DISK_FULL, ObjectMissing, StorageDamaged, StorageError, StorageFull, UsageError
from v2t.domain.ports import ObjectFacts, OnBytes
from v2t.storage.files import opened_source
from v2t.storage.minio_client import Buckets, StoreAccount, named_errors, open_client
from v2t.storage.minio_download import blocks_of
from v2t.storage.multipart import SHA256_HEADER, Upload, changed, part_size, read_part, upload_in_parts

if TYPE_CHECKING:
    from minio import Minio
    from minio.datatypes import Object

_CONTENT_KEY = re.compile(r"audio/([0-9a-f]{64})")
_PRIVATE_FOLDER = 0o700
_BLOCK_BYTES = 1 << 18
_COPY_PART_BYTES = 1 << 28
"""Above this an object is copied in parts: a store that copies gigabytes says nothing until it is done."""


class MinioObjectStore:
    """An ObjectStore in the buckets of a MinIO; it may be used from many threads.

    Args:
        account: where the store is and who asks.
        buckets: what the buckets are called.
        scratch: folder for the files that `open_file` yields; made when missing.
        part_bytes: larger files are uploaded in parts of this size, at least 5 MiB.
    """

    def __init__(self, account: StoreAccount, buckets: Buckets, scratch: Path, part_bytes: int = 16 << 20) -> None:
        self._account = account
        self._buckets = buckets
        self._scratch = scratch
        self._part_bytes = part_bytes
        self._client: Minio = open_client(account)

    def put_file(self, key: str, source: Path, *, move: bool = False, on_bytes: OnBytes | None = None) -> None:
        """Store a file; a large one in parts, going on with an interrupted upload.

        Raises:
            InputNotFound, InputUnreadable: the source cannot be read, or is not the content its key names.
            StorageError, ConnectionFailed, ConfigurationError: it could not be kept; nothing new stands there.
        """
        bucket = self._bucket(key)
        with opened_source(source) as file, self._named_errors(key):
            self._upload(bucket, key, file, on_bytes or _ignore)
        if move:
            with suppress(OSError):  # the source may be consumed, it need not be
                source.unlink()

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store a small object. Raises StorageError."""
        bucket = self._bucket(key)
        with self._named_errors(key):
            self._put(bucket, key, bytes(data), hashlib.sha256(data).hexdigest())

    def get_bytes(self, key: str) -> bytes:
        """Read a small object.

        Raises:
            ObjectMissing: there is none.
            StorageDamaged: its content is not what was stored.
        """
        data = io.BytesIO()
        self._fetch(key, data.write)
        return data.getvalue()

    @contextmanager
    def open_file(self, key: str) -> Iterator[Path]:
        """The object in a file of the scratch folder, which is removed afterwards.

        Raises:
            ObjectMissing: there is none.
            StorageDamaged: its content is not what was stored.
            StorageFull: the scratch folder has no space for it.
        """
        with self._scratch_file(Path(key).suffix) as file:
            self._fetch(key, self._writer(file))
            yield Path(file.name)

    def exists(self, key: str) -> bool:
        """Whether an object stands under the key."""
        try:
            self.facts(key)
        except ObjectMissing:
            return False
        return True

    def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        return [entry.key for entry in self.list_objects(prefix)]

    def list_objects(self, prefix: str) -> Iterator[ObjectFacts]:
        """What is known of each object whose key begins with `prefix`, sorted by key; asked for page by page."""
        listings = (self._listing(bucket, prefix) for bucket in self._buckets.that_may_hold(prefix))
        return heapq.merge(*listings, key=lambda entry: entry.key)

    def facts(self, key: str) -> ObjectFacts:
        """What is known of one object. Raises ObjectMissing."""
        return _facts(key, self._stat(key))

    def copy(self, source: str, target: str, *, etag: str = "") -> None:
        """Copy an object inside the store; its digest goes along.

        Raises:
            ObjectMissing: the source is gone, or is not the content that `etag` names.
        """
        from minio.commonconfig import ComposeSource, CopySource

        bucket, name = self._bucket(target), self._bucket(source)
        there = self._stat(source)
        if etag and there.etag != etag:
            raise ObjectMissing(f"{source} is no longer the content that was asked for")
        size, match = there.size or 0, there.etag or None
        with self._named_errors(source):
            if size <= _COPY_PART_BYTES:
                self._client.copy_object(bucket, target, CopySource(name, source, match_etag=match))
                return
            pieces = [
                ComposeSource(name, source, offset=start, length=min(_COPY_PART_BYTES, size - start), match_etag=match)
                for start in range(0, size, _COPY_PART_BYTES)
            ]
            digest = _stored_digest(there)
            self._client.compose_object(bucket, target, pieces, metadata={"sha256": digest} if digest else None)

    def delete(self, key: str, *, etag: str = "") -> None:
        """Remove an object; a missing one is no error.

        With `etag` it is removed only while it is that content, with all older versions of it. Where the bucket keeps
        versions this is safe against somebody who replaces the object meanwhile; the others remove what stands there.
        """
        bucket = self._bucket(key)
        with self._named_errors(key):
            if not etag:
                self._client.remove_object(bucket, key)
                return
            try:
                there = self._stat(key)
            except ObjectMissing:
                return
            if there.etag == etag:
                self._delete_versions(bucket, key, there.version_id)

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`, which ends with `/`."""
        if not prefix.endswith("/") or not _is_key(prefix[:-1]):
            raise UsageError(f"not the prefix of a folder of objects: {prefix!r}")
        bucket = self._buckets.of(prefix)
        with self._named_errors(prefix):
            entries = self._client.list_objects(bucket, prefix, recursive=True)
            self._delete_all(bucket, ((str(entry.object_name), None) for entry in entries))

    def _upload(self, bucket: str, key: str, file: IO[bytes], on_bytes: OnBytes) -> None:
        size = os.fstat(file.fileno()).st_size
        named = _CONTENT_KEY.fullmatch(key)
        if size <= self._part_bytes:
            data = read_part(file, self._part_bytes + 1)
            digest = hashlib.sha256(data).hexdigest()
            if len(data) != size or (named and digest != named[1]):
                raise changed(str(file.name))
            self._put(bucket, key, data, digest)
            on_bytes(size)
            return
        digest = named[1] if named else _digest(file)
        part_bytes = part_size(size, self._part_bytes)
        upload_in_parts(Upload(self._client, bucket, key, digest, file, size, part_bytes, on_bytes))

    def _put(self, bucket: str, key: str, data: bytes, digest: str) -> None:
        self._client.put_object(bucket, key, io.BytesIO(data), len(data), metadata={"sha256": digest})

    def _fetch(self, key: str, write: Callable[[bytes], object]) -> None:
        """Give an object's content to `write`, block by block, and check all of it."""
        bucket = self._bucket(key)
        digest = hashlib.sha256()
        with self._named_errors(key):
            response = self._client.get_object(bucket, key)
            named = _CONTENT_KEY.fullmatch(key)
            expected = named[1] if named else response.headers.get(SHA256_HEADER, "")
            for block in blocks_of(self._client, bucket, key, response):
                digest.update(block)
                write(block)
        if expected and digest.hexdigest() != expected:
            raise StorageDamaged(
                f"{key} in bucket {bucket} is damaged: its content is not what was stored; put it again"
            )

    def _stat(self, key: str) -> Object:
        bucket = self._bucket(key)
        with self._named_errors(key):
            return self._client.stat_object(bucket, key)

    def _listing(self, bucket: str, prefix: str) -> Iterator[ObjectFacts]:
        with self._named_errors(prefix or bucket):
            for entry in self._client.list_objects(bucket, prefix, recursive=True):
                key = str(entry.object_name)
                if not key.endswith("/") and self._buckets.of(key) == bucket:  # else a folder that some client made
                    yield _facts(key, entry)

    def _delete_versions(self, bucket: str, key: str, version: str | None) -> None:
        """Remove a version and those older than it, the oldest first: none of them must come to light again."""
        if version is None:
            self._client.remove_object(bucket, key)
            return
        entries = self._client.list_objects(bucket, key, include_version=True)
        versions = [entry.version_id for entry in entries if entry.object_name == key]
        older = versions[versions.index(version) + 1 :] if version in versions else []
        self._delete_all(bucket, ((key, each) for each in older))
        self._client.remove_object(bucket, key, version_id=version)

    def _delete_all(self, bucket: str, objects: Iterator[tuple[str, str | None]]) -> None:
        from minio.deleteobjects import DeleteObject

        wanted = (DeleteObject(key, version) for key, version in objects)
        for failure in self._client.remove_objects(bucket, wanted):
            raise StorageError(f"{failure.name} cannot be deleted from bucket {bucket}: {failure.message}")

    @contextmanager
    def _scratch_file(self, suffix: str) -> Iterator[IO[bytes]]:
        try:
            self._scratch.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
            file = tempfile.NamedTemporaryFile(dir=self._scratch, suffix=suffix, buffering=0)  # noqa: SIM115 - just below
        except OSError as error:
            raise self._scratch_error(error) from error
        with file:
            yield file

    def _writer(self, file: IO[bytes]) -> Callable[[bytes], None]:
        def write(block: bytes) -> None:
            try:
                rest = memoryview(block)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError as error:
                raise self._scratch_error(error) from error

        return write

    def _scratch_error(self, error: OSError) -> StorageError:
        if error.errno in DISK_FULL:
            return StorageFull(f"no space is left in {self._scratch}; free some and run the command again")
        return StorageError(f"{self._scratch} cannot be used: {error.strerror}; check the disk")

    def _bucket(self, key: str) -> str:
        if not _is_key(key):
            raise UsageError(f"not an object key: {key!r}")
        return self._buckets.of(key)

    @contextmanager
    def _named_errors(self, what: str) -> Iterator[None]:
        with named_errors(self._account, what):
            yield


def _is_key(key: str) -> bool:
    """Whether it can be a key; people name what they upload as they like, so it may hold any printable character."""
    return key.isprintable() and not {"", ".", ".."} & set(key.split("/"))


def _facts(key: str, entry: Object) -> ObjectFacts:
    modified_at = entry.last_modified.timestamp() if entry.last_modified else 0.0
    return ObjectFacts(key, entry.size or 0, (entry.etag or "").replace('"', ""), modified_at)


def _stored_digest(entry: Object) -> str:
    return str((entry.metadata or {}).get(SHA256_HEADER, ""))


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := read_part(file, _BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _ignore(_: int) -> None:
    pass
