"""Downloads one file of known size and SHA-256: resumed where a former try stopped, refused when it differs."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import httpx

from v2t.domain.errors import ModelCorrupted, ModelUnavailable
from v2t.weights.catalogue import ModelFile

logger = logging.getLogger(__name__)

OnBytes = Callable[[int], None]
"""Called with how many bytes of the file are there."""

_TIMEOUT = httpx.Timeout(30, connect=5)
"""Seconds without an answer; a machine without a network learns so after five."""

_CONNECTIONS = 5
"""A download may take so many when each but the last breaks off in the middle."""

_CHUNK_BYTES = 1 << 20
_BROKEN_OFF = (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError)


def open_client() -> httpx.Client:
    """A client that follows redirects and honours HTTP_PROXY, HTTPS_PROXY and NO_PROXY.

    A redirect to another host loses the Authorization header: `_redirect_headers` in httpx/_client.py.

    Raises:
        ModelUnavailable: a proxy variable is not usable.
    """
    # A server that compressed would answer with sizes and ranges that are not the file's.
    headers = {"Accept-Encoding": "identity"}
    try:
        return httpx.Client(timeout=_TIMEOUT, follow_redirects=True, headers=headers)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise ModelUnavailable(f"the proxy in the environment is not usable ({error})") from error


class Download:
    """One file on its way into a folder.

    Until it is whole it stands there as `<name>.partial`, which the next download goes on from.

    Args:
        client: from `open_client`.
        url: where the file is.
        file: what it must be.
        folder: where it goes, under its own name.
        token: a bearer token for the host of `url`, or empty.
    """

    def __init__(self, client: httpx.Client, url: str, file: ModelFile, folder: Path, token: str = "") -> None:
        self._client = client
        self._url = url
        self._file = file
        self._target = folder / file.name
        self._partial = folder / f"{file.name}.partial"
        self._entity_tag = folder / f"{file.name}.partial.etag"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def run(self, on_bytes: OnBytes) -> None:
        """Bring the file and check it.

        Raises:
            ModelUnavailable: the server cannot be reached or does not have it.
            ModelCorrupted: what the server has is another file.
            OSError: it cannot be written.
        """
        was_begun = self._partial.exists()
        try:
            digest = self._transfer(on_bytes)
            if was_begun and digest != self._file.sha256:  # begun elsewhere, or damaged by a power cut
                self._partial.unlink()
                digest = self._transfer(on_bytes)
        except httpx.HTTPError as error:
            raise ModelUnavailable(f"{self._host} {_reason(error)}") from error
        except httpx.InvalidURL as error:
            raise ModelUnavailable(f"{self._url!r} is no address ({error})") from error
        if digest != self._file.sha256:
            raise self._another_file()
        self._entity_tag.unlink(missing_ok=True)
        self._partial.replace(self._target)

    @property
    def _host(self) -> str:
        return httpx.URL(self._url).host or self._url

    def _transfer(self, on_bytes: OnBytes) -> str:
        """Fetch what is missing, over as many connections as it takes; returns the file's SHA-256."""
        for connection in range(1, _CONNECTIONS + 1):
            try:
                return self._fetch(on_bytes)
            except _BROKEN_OFF as error:
                if connection == _CONNECTIONS:
                    raise
                logger.warning("%s broke off: %s", self._file.name, error, extra={"action": "model_download"})
        raise AssertionError

    def _fetch(self, on_bytes: OnBytes) -> str:
        digest = self._hash_partial()
        have = self._partial.stat().st_size if self._partial.exists() else 0
        if have == self._file.size_bytes:
            return digest.hexdigest()
        with self._client.stream("GET", self._url, headers=self._headers | self._range(have)) as response:
            self._check(response)
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            if not resumed:
                digest = hashlib.sha256()
            self._entity_tag.write_text(response.headers.get("ETag", ""), encoding="utf-8")
            with self._partial.open("ab" if resumed else "wb") as output:
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    output.write(chunk)
                    digest.update(chunk)
                    on_bytes(output.tell())
                    if output.tell() > self._file.size_bytes:
                        raise self._another_file()
