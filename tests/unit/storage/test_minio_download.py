"""Downloads from MinIO over connections that break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from minio import Minio
from urllib3.exceptions import ProtocolError

from v2t.domain.errors import StorageError
from v2t.storage import minio_download
from v2t.storage.minio_download import blocks_of

CONTENT = b"speech" * 10


class Answer:
    """An answer that gives so many bytes of the content and then breaks off, or just ends."""

    def __init__(self, offset: int, give: int, *, breaks: bool) -> None:
        self.headers = {"content-length": str(len(CONTENT)), "etag": "e"}
        self._data, self._breaks = CONTENT[offset : offset + give], breaks

    def stream(self, _size: int) -> Iterator[bytes]:
        if self._data:
            yield self._data
        if self._breaks:
            raise ProtocolError("IncompleteRead")

    def close(self) -> None: ...

    def release_conn(self) -> None: ...


class Store:
    """Gives so many bytes at each request, as told."""

    def __init__(self, *gives: int, breaks: bool = True) -> None:
        self._gives, self._breaks = list(gives), breaks

    def get_object(self, *_names: str, offset: int = 0, **_options: object) -> Answer:
        give = self._gives.pop(0)
        return Answer(offset, give, breaks=self._breaks and give < len(CONTENT) - offset)


def download(store: Store) -> bytes:
    return b"".join(blocks_of(cast(Minio, store), "bucket", "key", cast(Any, store.get_object())))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made, in seconds; none is waited for."""
    made: list[float] = []
    monkeypatch.setattr(minio_download, "sleep", made.append)
    return made


def test_a_download_goes_on_where_it_broke_off(pauses: list[float]) -> None:
    assert download(Store(10, 20, 30)) == CONTENT
    assert pauses == [0.0, 0.0]


def test_a_server_that_goes_down_is_given_time_before_each_new_try(pauses: list[float]) -> None:
    assert download(Store(10, 0, 0, 0, 50)) == CONTENT
    assert pauses == [0.0, 0.5, 2.0, 5.0]


@pytest.mark.usefixtures("pauses")
def test_a_download_that_breaks_off_again_and_again_fails_as_the_connection_did() -> None:
    with pytest.raises(ProtocolError):
        download(Store(10, 0, 0, 0, 0))


@pytest.mark.usefixtures("pauses")
def test_a_download_that_ends_early_again_and_again_is_named() -> None:
    with pytest.raises(StorageError, match="key breaks off after 10 of 60 bytes"):
        download(Store(10, 0, 0, 0, 0, breaks=False))
