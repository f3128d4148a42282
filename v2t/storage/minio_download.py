"""Reading an object to its end, whatever happens to the connection."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

from v2t.domain.errors import StorageError

if TYPE_CHECKING:
    from minio import Minio
    from urllib3 import BaseHTTPResponse

_BLOCK_BYTES = 1 << 18
_PAUSES = (0.0, 0.5, 2.0, 5.0)
"""Seconds before each new try of a download that broke off without a block; a server that goes down takes some."""


def blocks_of(client: Minio, bucket: str, key: str, response: BaseHTTPResponse) -> Iterator[bytes]:
    """The whole content of an object; a connection that breaks is replaced by one that goes on from there.

    Args:
        client: the way to the store.
        bucket: where the object is.
        key: its key.
        response: the answer to a request for all of it; it is closed here.

    Raises:
        HTTPError, MinioException: the store is gone, or the object is no longer the one that was begun with.
        StorageError: it breaks off again and again.
    """
    size, etag = int(response.headers["content-length"]), response.headers["etag"]
    done, broken = 0, 0
    while True:
        try:
            for block in response.stream(_BLOCK_BYTES):
                done, broken = done + len(block), 0
                yield block
        except HTTPError:
            if broken == len(_PAUSES):
                raise
        finally:
            response.close()
            response.release_conn()
        if done >= size:
            return
        if broken == len(_PAUSES):
            raise StorageError(f"{key} breaks off after {done} of {size} bytes; run the command again")
        sleep(_PAUSES[broken])
        broken += 1
        response = client.get_object(bucket, key, offset=done, request_headers={"If-Match": etag})
