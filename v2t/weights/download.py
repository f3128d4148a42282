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
        for _ in range(_CONNECTIONS - 1):
            try:
                return self._fetch(on_bytes)
            except _BROKEN_OFF as error:
                logger.warning("%s broke off: %s", self._file.name, error, extra={"action": "model_download"})
        return self._fetch(on_bytes)

    def _fetch(self, on_bytes: OnBytes) -> str:
        have = self._partial.stat().st_size if self._partial.exists() else 0
        if have < self._file.size_bytes:
            with self._client.stream("GET", self._url, headers=self._headers | self._range(have)) as response:
                self._check(response)
                self._entity_tag.write_text(response.headers.get("ETag", ""), encoding="utf-8")
                self._write(response, on_bytes)
        with self._partial.open("rb") as whole:
            return hashlib.file_digest(whole, "sha256").hexdigest()

    def _range(self, have: int) -> dict[str, str]:
        """Ask for the rest, unless the file has changed since: RFC 9110, section 13.1.5."""
        if not have:
            return {}
        tag = self._entity_tag.read_text(encoding="utf-8") if self._entity_tag.exists() else ""
        return {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag.startswith('"') else {})

    def _check(self, response: httpx.Response) -> None:
        """Refuse an answer that cannot become the file before any of it is read."""
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise self._another_file()
        response.raise_for_status()
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
        else:
            total = response.headers.get("Content-Length", "")
        if total.isdecimal() and int(total) != self._file.size_bytes:
            raise self._another_file()

    def _write(self, response: httpx.Response, on_bytes: OnBytes) -> None:
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        with self._partial.open("ab" if resumed else "wb") as output:
            for chunk in response.iter_bytes():
                output.write(chunk)
                on_bytes(output.tell())
                if output.tell() > self._file.size_bytes:
                    raise self._another_file()
            output.flush()
            os.fsync(output.fileno())
            if output.tell() < self._file.size_bytes:
                raise httpx.ReadError("the transfer ended early")

    def _another_file(self) -> ModelCorrupted:
        self._partial.unlink(missing_ok=True)
        self._entity_tag.unlink(missing_ok=True)
        return ModelCorrupted(
            f"{self._host} has another {self._file.name} than the catalogue knows, so it was not kept; "
            "pull it --from a server or file that has the right one."
        )


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"answered {error.response.status_code} {error.response.reason_phrase}".rstrip()
    if isinstance(error, httpx.TimeoutException):
        return "did not answer in time"
    if isinstance(error, httpx.ConnectError):
        return f"cannot be reached ({error})"
    return f"failed ({str(error) or type(error).__name__})"
