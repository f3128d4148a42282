"""Uploads in parts, several at a time, which a later call goes on with.

Only this module uses the SDK's private methods for parts: its public upload keeps nothing of what it sent when it
fails. The store checks each part against the digest that the SDK sends along, and the parts are named by their ETag
when they are put together, so that the object is made of what was read here and of nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from v2t.domain.errors import InputUnreadable, StorageError

if TYPE_CHECKING:
    from minio import Minio
    from minio.datatypes import Part

PARALLEL_PARTS = 4
SHA256_HEADER = "x-amz-meta-sha256"
"""Where an object's digest is kept in the store."""

_MOST_PARTS = 10_000
_MEBIBYTE = 1 << 20
_TAKEN_OVER = frozenset({"NoSuchUpload", "InvalidPart"})
"""What a store says of an upload that another process has completed, ended, or given other parts."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way to an object."""

    client: Minio
    bucket: str
    key: str
    sha256: str
    file: IO[bytes]
    size_bytes: int
    part_bytes: int
    on_bytes: Callable[[int], None]

    @property
    def name(self) -> str:
        """What the file is called."""
        return str(self.file.name)


def upload_in_parts(upload: Upload) -> None:
    """Store the file, going on with an interrupted upload of the same content.

    Memory holds at most one part more than are sent at once.

    Raises:
        InputUnreadable: the file is not, or is no longer, the content that `sha256` names.
        StorageError: other processes kept changing the object.
    """
    from minio.error import S3Error

    for resume in (True, False):
        try:
            _send(upload, resume=resume)
        except S3Error as error:
            if error.code not in _TAKEN_OVER:
                raise
        if _stands(upload):
            return
    raise StorageError(f"{upload.key} was changed by another process while it was stored; run the command again")


def part_size(size_bytes: int, wished_bytes: int) -> int:
    """The size of a part: the wished one, unless the file would have more parts than S3 allows."""
    needed = -(-size_bytes // _MOST_PARTS)
    return max(wished_bytes, -(-needed // _MEBIBYTE) * _MEBIBYTE)


def read_part(file: IO[bytes], length: int) -> bytes:
    """Exactly `length` bytes, or what there is up to the end of the file. Raises InputUnreadable."""
    blocks: list[bytes] = []
    missing = length
    try:
        while missing and (block := file.read(missing)):
            blocks.append(block)
            missing -= len(block)
    except OSError as error:
        raise InputUnreadable(f"{file.name} cannot be read: {error.strerror}") from error
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def changed(name: str) -> InputUnreadable:
    """The error for a file that is not the content it was said to be."""
    return InputUnreadable(f"{name} was changed while it was stored; run the command again when nobody writes to it")


def _send(upload: Upload, *, resume: bool) -> None:
    from minio.error import S3Error

    upload_id, there = (_unfinished(upload) if resume else None) or (_begin(upload), {})
    try:
        parts = _send_parts(upload, upload_id, there)
    except S3Error as error:
        if error.code == "XMinioStorageFull":  # the parts would take up the space that is lacking
            _abort(upload, upload_id)
        raise
    except InputUnreadable:
        _abort(upload, upload_id)
        raise
    upload.client._complete_multipart_upload(upload.bucket, upload.key, upload_id, parts)  # noqa: SLF001 - see the top


def _begin(upload: Upload) -> str:
    headers: dict[str, str | list[str] | tuple[str]] = {SHA256_HEADER: upload.sha256}
    return upload.client._create_multipart_upload(upload.bucket, upload.key, headers)  # noqa: SLF001 - see the top


def _abort(upload: Upload, upload_id: str) -> None:
    from minio.error import MinioException
    from urllib3.exceptions import HTTPError

    with suppress(MinioException, HTTPError):  # the store ends it by itself, later
        upload.client._abort_multipart_upload(upload.bucket, upload.key, upload_id)  # noqa: SLF001 - see the top


def _unfinished(upload: Upload) -> tuple[str, dict[int, Part]] | None:
    """The newest upload of this key whose first part is the file's, with its parts by number.

    A later part that is not the file's is sent again, and an object that was begun with another digest is made anew
    by the caller; so a wrong guess costs time and nothing else.
    """
    from minio.error import S3Error

    client = upload.client
    try:
        found = client._list_multipart_uploads(upload.bucket, prefix=upload.key).uploads  # noqa: SLF001 - see the top
    except S3Error as error:
        if error.code == "AccessDenied":  # the account may write and no more
            return None
        raise
    mine = [entry for entry in found if entry.object_name == upload.key and entry.upload_id]
    for entry in sorted(mine, key=lambda entry: str(entry.initiated_time), reverse=True):
        parts = {part.part_number: part for part in _parts(upload, str(entry.upload_id))}
        if 1 in parts and _is_first(upload, parts[1]):
            return str(entry.upload_id), parts
    return None


def _is_first(upload: Upload, part: Part) -> bool:
    upload.file.seek(0)
    data = read_part(upload.file, upload.part_bytes)
    return part.size == len(data) and _clean(part.etag) == _md5(data)


def _parts(upload: Upload, upload_id: str) -> Iterator[Part]:
    from minio.error import S3Error

    marker: str | None = None
    with _gone_is_empty(S3Error):
        while True:
            page = upload.client._list_parts(  # noqa: SLF001 - see the top
                upload.bucket, upload.key, upload_id, part_number_marker=marker
            )
            yield from page.parts
            marker = page.next_part_number_marker
            if not page.is_truncated:
                return


@contextmanager
def _gone_is_empty(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        if getattr(error, "code", "") != "NoSuchUpload":
            raise


def _send_parts(upload: Upload, upload_id: str, there: dict[int, Part]) -> list[Part]:
    """Send the parts that are not there; the file is read once, from its beginning to its end."""
    from minio.datatypes import Part

    digest = hashlib.sha256()
    etags: dict[int, str] = {}
    running: dict[Future[str], tuple[int, int]] = {}
    done_bytes = 0

    def finish(left: int) -> None:
        nonlocal done_bytes
        while len(running) > left:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number, length = running.pop(future)
                etags[number] = future.result()
                done_bytes += length
                upload.on_bytes(done_bytes)

    pool = ThreadPoolExecutor(PARALLEL_PARTS, thread_name_prefix="upload")
    try:
        for number, data in enumerate(_read_parts(upload), 1):
            digest.update(data)
            if _is_there(data, there.get(number)):
                etags[number] = _clean(there[number].etag)
                done_bytes += len(data)
                upload.on_bytes(done_bytes)
            else:
                running[pool.submit(_send_part, upload, upload_id, number, data)] = number, len(data)
                finish(PARALLEL_PARTS - 1)
        finish(0)
    finally:
        pool.shutdown(cancel_futures=True)
    if done_bytes != upload.size_bytes or digest.hexdigest() != upload.sha256:
        raise changed(upload.name)
    return [Part(number, etag) for number, etag in sorted(etags.items())]


def _read_parts(upload: Upload) -> Iterator[bytes]:
    """The file as it was when it was opened; what has been added since is another content, which the digest tells."""
    upload.file.seek(0)
    for _ in range(0, upload.size_bytes, upload.part_bytes):
        yield read_part(upload.file, upload.part_bytes)


def _send_part(upload: Upload, upload_id: str, number: int, data: bytes) -> str:
    return upload.client._upload_part(upload.bucket, upload.key, data, None, upload_id, number)  # noqa: SLF001 - see the top


def _is_there(data: bytes, part: Part | None) -> bool:
    return part is not None and part.size == len(data) and _clean(part.etag) == _md5(data)


def _stands(upload: Upload) -> bool:
    """Whether the object is the whole file."""
    from minio.error import S3Error

    try:
        there = upload.client.stat_object(upload.bucket, upload.key)
    except S3Error as error:
        if error.code == "NoSuchKey":
            return False
        raise
    digest = (there.metadata or {}).get(SHA256_HEADER)
    return there.size == upload.size_bytes and digest == upload.sha256


def _md5(data: bytes) -> str:
    """The ETag of a part; a store that makes another one, such as under SSE-KMS, is sent the part again."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _clean(etag: str) -> str:
    return etag.replace('"', "")
