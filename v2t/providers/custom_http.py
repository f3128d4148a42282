"""Any HTTP service that takes a file and answers with JSON, as the settings describe it."""

from __future__ import annotations

import base64
import math
import time
from pathlib import Path
from typing import Any, ClassVar

from pydantic_core import from_json

from v2t.config.providers import CustomHttpSettings
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import ConfigurationError, ProviderFailed, ProviderRejected
from v2t.domain.jobs import Chunk, TranscribeOptions
from v2t.domain.ports import EngineResult, OnProgress
from v2t.domain.transcript import Segment
from v2t.providers._addresses import resolve_public
from v2t.providers._answers import find
from v2t.providers._http import HttpEdge
from v2t.providers.heard import known_language, make_result


class CustomHttp:
    """Transcriber on a service that the settings describe.

    Args:
        settings: the section `custom_http`.

    Raises:
        ConfigurationError: the certificate authority cannot be read.
    """

    name: ClassVar[str] = "custom_http"

    def __init__(self, settings: CustomHttpSettings) -> None:
        self._settings = settings
        self._edge = HttpEdge(
            self.name,
            settings,
            url_setting="url",
            key_setting="secret",
            error_path=settings.error_path,
            choose_address=self._choose_address,
        )

    @property
    def capabilities(self) -> Capabilities:
        """See RemoteTranscriber.capabilities."""
        return Capabilities(
            words=False,
            translation=bool(self._settings.translate_field),
            dollars_per_minute=self._settings.dollars_per_minute,
        )

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        """See Transcriber.transcribe."""
        if options.translate and not self._settings.translate_field:
            raise ProviderRejected("custom_http does not translate; custom_http.translate_field would make it")
        started = time.monotonic()
        body = await self._edge.ask(
            self._settings.method,
            self._url(),
            speech_seconds=chunk.speech_seconds,
            headers=self._headers(),
            fields=self._fields(options),
            audio=(self._settings.file_field, audio),
        )
        document = self._read(body)
        language, probability = (options.language, 1.0) if options.language else self._language(document)
        segments = self._segments(document, chunk.speech_seconds)
        on_progress(1.0)
        return make_result(chunk, segments, language, probability, time.monotonic() - started)

    async def check(self) -> str:
        """See RemoteTranscriber.check."""
        if self._settings.check_url:
            await self._edge.ask("GET", self._settings.check_url, headers=self._headers())
            return "is well"
        try:
            await self._edge.ask("OPTIONS", self._url(), headers=self._headers())
        except ProviderRejected:
            return "answers, but does not tell its health"  # of which it need not have heard
        return "answers"

    async def close(self) -> None:
        """See RemoteTranscriber.close."""
        await self._edge.close()

    async def _choose_address(self, host: str) -> str:
        return await resolve_public(host, self._settings.hosts, "custom_http.allowed_hosts")

    def _url(self) -> str:
        if not self._settings.url:
            raise ConfigurationError("custom_http.url is not set; set it to the address that takes the audio")
        return self._settings.url

    def _headers(self) -> dict[str, str]:
        settings = self._settings
        headers = {name: self._edge.reveal(value, f"headers.{name}") for name, value in settings.headers.items()}
        if settings.authentication == "none":
            return headers
        secret = self._edge.reveal(settings.secret, "secret")
        if settings.authentication == "header":
            return headers | {settings.header_name: secret}
        if settings.authentication == "bearer":
            return headers | {"Authorization": f"Bearer {secret}"}
        account = base64.b64encode(f"{settings.user}:{secret}".encode()).decode()
        self._edge.hide(account)
        return headers | {"Authorization": f"Basic {account}"}

    def _fields(self, options: TranscribeOptions) -> dict[str, str]:
        settings = self._settings
        told = {
            settings.language_field: options.language,
            settings.prompt_field: options.prompt,
            settings.translate_field: "true" if options.translate else "",
        }
        return settings.fields | {field: value for field, value in told.items() if field and value}

    def _read(self, body: bytes) -> Any:
        try:
            document = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise self._edge.failed(str(error)) from None
        said = find(document, self._settings.error_path) if self._settings.error_path else None
        if isinstance(said, str) and said.strip():
            raise ProviderFailed(f"custom_http failed: {self._edge.clean(said)}")
        return document

    def _segments(self, document: Any, speech_seconds: float) -> list[Segment]:
        settings = self._settings
        if not settings.segments_path:
            return [Segment(0.0, speech_seconds, self._text(document, settings.text_path))]
        items = find(document, settings.segments_path)
        if not isinstance(items, list):
            raise self._edge.failed(f"there is no list at {settings.segments_path}")
        return [
            Segment(
                self._seconds(item, settings.segment_start),
                self._seconds(item, settings.segment_end),
                self._text(item, settings.segment_text),
            )
            for item in items
        ]

    def _text(self, document: Any, path: str) -> str:
        text = find(document, path)
        if not isinstance(text, str):
            raise self._edge.failed(f"there is no text at {path}")
        return text.strip()

    def _seconds(self, item: Any, path: str) -> float:
        value = find(item, path)
        try:
            seconds = float(value) if isinstance(value, (int, float, str)) else math.nan
        except (ValueError, OverflowError):
            seconds = math.nan
        if not math.isfinite(seconds):
            raise self._edge.failed(f"there is no time at {path}")
        return seconds / 1000 if self._settings.time_unit == "milliseconds" else seconds

    def _language(self, document: Any) -> tuple[str, float]:
        named = find(document, self._settings.language_path) if self._settings.language_path else None
        code = known_language(named) if isinstance(named, str) else ""
        return code, 1.0 if code else 0.0
