"""The one HTTP edge of the providers: pooled connections, limits, and what each outcome means in our errors."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from v2t.config.providers import RemoteSettings
from v2t.config.secret import Secret
from v2t.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    EngineTimedOut,
    ProviderBusy,
    ProviderFailed,
    ProviderRejected,
    ProviderUnreachable,
    V2TError,
)
from v2t.providers._answers import find_reason, plain, retry_after_seconds, say_status

ChooseAddress = Callable[[str], Awaitable[str]]
"""Host name → the address to connect to."""

Answer = TypeVar("Answer", bound=BaseModel)

TIMEOUT = httpx.Timeout(None, connect=10.0)
"""Only connecting has a limit of its own; all of a request shares one deadline, which a slow trickle cannot move."""

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""The words of ten hours with their times, as ElevenLabs writes them, are about 20 MB."""

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=30.0)
_TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY})


class HttpEdge:
    """A provider's side of HTTP.

    Args:
        name: the provider, which is also the section of its settings.
        settings: that section.
        url_setting: the setting that holds the address.
        key_setting: the setting that holds the secret.
        error_path: where the provider says why it failed, before the places that are common.
        choose_address: decides where to connect, in place of the system's resolver.

    Raises:
        ConfigurationError: the certificate authority cannot be read.
    """

    def __init__(
        self,
        name: str,
        settings: RemoteSettings,
        *,
        url_setting: str,
        key_setting: str = "",
        error_path: str = "",
        choose_address: ChooseAddress | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._url_setting = url_setting
        self._key_setting = key_setting or url_setting
        self._error_path = error_path
        self._secrets: set[str] = set()
        transport = httpx.AsyncHTTPTransport(verify=self._trusted(), limits=_LIMITS)
        self.client = httpx.AsyncClient(
            transport=_Gate(self, transport, choose_address),
            timeout=TIMEOUT,
            headers={"Accept-Encoding": "identity"},  # what is not compressed cannot grow when it is opened
        )

    async def ask(
        self,
        method: str,
        url: str,
        *,
        speech_seconds: float = 0.0,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        audio: tuple[str, Path] | None = None,
    ) -> bytes:
        """Send a request, and give the body of the answer.

        Args:
            method: of HTTP.
            url: where to.
            speech_seconds: the audio's length, by which the deadline grows.
            headers: besides the usual ones.
            fields: of the form.
            audio: a field of the form, and the WAV to stream into it.

        Raises:
            V2TError: whatever else happened, as the class says.
        """
        async with self.within(speech_seconds):
            if audio is None:
                return (await self.client.request(method, url, headers=headers, data=fields)).content
            field, path = audio
            with path.open("rb") as file:
                files = {field: ("audio.wav", file, "audio/wav")}
                answer = await self.client.request(method, url, headers=headers, data=fields, files=files)
                return answer.content

    @asynccontextmanager
    async def within(self, speech_seconds: float) -> AsyncIterator[None]:
        """Give what is inside the time that audio of this length may take. Raises EngineTimedOut."""
        limit = self._settings.timeout_seconds + self._settings.timeout_factor * speech_seconds
        try:
            async with asyncio.timeout(limit):
                yield
        except TimeoutError:
            raise EngineTimedOut(
                f"{self.name} gave no answer within {limit:.0f} s; "
                f"{self.name}.timeout_seconds and {self.name}.timeout_factor say how long it may take"
            ) from None

    def check_size(self, audio: Path, limit_bytes: int) -> None:
        """See that a file is not too large to be sent. Raises ProviderRejected."""
        if audio.stat().st_size > limit_bytes:
            raise ProviderRejected(f"{self.name} takes no more than {limit_bytes} bytes; lower audio.chunk_seconds")

    def parse(self, kind: type[Answer], body: bytes) -> Answer:
        """Read an answer of JSON. Raises ProviderFailed."""
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
        # raised out here, as the error from above holds parts of the answer
        place = ".".join(str(part) for part in first["loc"])
        raise self.failed(f"{place}: {first['msg']}" if place else first["msg"])

    def failed(self, reason: str) -> ProviderFailed:
        """The error for an answer that is none."""
        return ProviderFailed(
            f"{self.name} gave an answer that cannot be read ({self.clean(reason)}); "
            f"see whether {self.name}.{self._url_setting} is its address"
        )

    def reveal(self, secret: Secret, key: str) -> str:
        """A secret to be sent, which from now on stands in no message.

        Raises:
            ConfigurationError: it is not there, or cannot be sent.
        """
        value = secret.reveal().strip()
        if not value:
            raise ConfigurationError(f"{self.name}.{key} is empty; set it to env:NAME or file:/path")
        if not (value.isascii() and value.isprintable()):
            raise ConfigurationError(f"{self.name}.{key} has characters that a header cannot hold; check what it names")
        self.hide(value)
        return value

    def hide(self, text: str) -> None:
        """Keep a text out of all messages."""
        self._secrets.add(text)

    def clean(self, text: str) -> str:
        """What a server said as part of a message of ours: one short line without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "(redacted)")
        return plain(text)

    def broken(self, error: httpx.TransportError, url: httpx.URL) -> ProviderUnreachable:
        """The error for a connection that was not made, or that broke."""
        place = f"{url.scheme}://{url.netloc.decode('ascii')}"
        reason = self.clean(str(error)) or type(error).__name__
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            key = "ca_file" if "CERTIFICATE" in reason else self._url_setting
            return ProviderUnreachable(f"{self.name} does not answer at {place}: {reason}; check {self.name}.{key}")
        return ProviderUnreachable(f"{self.name} at {place} broke the connection: {reason}")

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> V2TError:
        """The error for an answer that is not a success."""
        said = self.clean(find_reason(body, self._error_path)) or say_status(status)
        told = f"HTTP {status}: {said}"
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return CredentialsRefused(
                f"{self.name} refuses the account or its secret ({told}); check {self.name}.{self._key_setting}"
            )
        if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            wait = retry_after_seconds(headers.get("retry-after", ""), time.time())
            return ProviderBusy(f"{self.name} asks to come back later ({told})", wait)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRY_AGAIN:
            return ProviderFailed(f"{self.name} failed ({told})")
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            target = self.clean(headers.get("location", "nowhere"))
            return ProviderRejected(
                f"{self.name} sends elsewhere (HTTP {status}), to {target}; set {self.name}.{self._url_setting} to that"
            )
        return ProviderRejected(f"{self.name} does not take this ({told})")

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    def _trusted(self) -> ssl.SSLContext:
        file = self._settings.ca_file
        try:
            return _trust(file)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(f"{self.name}.ca_file: {file} is not a readable certificate file") from error


@cache
def _trust(ca_file: str) -> ssl.SSLContext:
    """Certificates are checked, always; reading the system's authorities is slow enough to do it once."""
    return ssl.create_default_context(cafile=ca_file or None)


class _Gate(httpx.AsyncBaseTransport):
    """Lets whole answers of bounded size through; everything else becomes an error of ours."""

    def __init__(self, edge: HttpEdge, inner: httpx.AsyncBaseTransport, choose: ChooseAddress | None) -> None:
        self._edge = edge
        self._inner = inner
        self._choose = choose

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if self._choose:
            host = url.raw_host.decode("ascii")
            request.url = url.copy_with(host=await self._choose(host))
            request.extensions = {**request.extensions, "sni_hostname": host}
        try:
            response = await self._inner.handle_async_request(request)
            try:
                body = await self._read(response)
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise self._edge.broken(error, url) from error
        if not response.is_success:
            raise self._edge.refusal(response.status_code, response.headers, body)
        content_type = response.headers.get("content-type", "application/json")
        return httpx.Response(response.status_code, headers={"Content-Type": content_type}, content=body)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        coding = response.headers.get("content-encoding", "identity")
        if coding != "identity":
            raise self._edge.failed(f"it is compressed, by {coding}, though nobody asked for that")
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise self._edge.failed(f"it is longer than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)
