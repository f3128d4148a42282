"""The HTTP server of whisper.cpp (examples/server/server.cpp; the names of its fields are from there)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, FiniteFloat

from v2t.config.providers import WhisperServerSettings
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import ConfigurationError, ProviderBusy, ProviderRejected
from v2t.domain.jobs import Chunk, TranscribeOptions
from v2t.domain.languages import is_spaced
from v2t.domain.ports import EngineResult, OnProgress
from v2t.domain.transcript import Word
from v2t.providers._http import HttpEdge
from v2t.providers.heard import divide_piece, join_phrases, known_language, make_result

_PROMPT_TOKENS = "224"
"""Half of Whisper's text context: the most that a prompt may take (whisper.cpp, whisper_full_with_state)."""


class WhisperServer:
    """Transcriber on whisper.cpp's server.

    Args:
        settings: the section `whisper_server`.

    Raises:
        ConfigurationError: the certificate authority cannot be read.
    """

    name: ClassVar[str] = "whisper_server"

    def __init__(self, settings: WhisperServerSettings) -> None:
        self._settings = settings
        self._edge = HttpEdge(self.name, settings, url_setting="url")
        self._turns = asyncio.Semaphore(settings.requests)

    @property
    def capabilities(self) -> Capabilities:
        """See RemoteTranscriber.capabilities."""
        return Capabilities(translation=True, dollars_per_minute=self._settings.dollars_per_minute)

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        """See Transcriber.transcribe.

        The server stops computing when the connection is closed.
        """
        url = self._address("inference")
        async with self._turns:
            started = time.monotonic()
            body = await self._edge.ask(
                "POST",
                url,
                speech_seconds=chunk.speech_seconds,
                fields=_fields(options),
                audio=("file", audio),
            )
        answer = self._edge.parse(_Transcription, body)
        language, probability = (options.language, 1.0) if options.language else answer.heard_language()
        words = answer.words(spaced=is_spaced("en" if options.translate else language))
        on_progress(1.0)
        return make_result(chunk, join_phrases(words), language, probability, time.monotonic() - started)

    async def check(self) -> str:
        """See RemoteTranscriber.check."""
        try:
            await self._edge.ask("GET", self._address("health"))
        except ProviderRejected as error:
            if "File Not Found (/" in error.message:
                # its error handler makes a 404 of the 503 that it means while it loads a model
                raise ProviderBusy("whisper_server loads a model, or is too old to tell of its health") from None
            raise
        return f"runs {self._settings.model}" if self._settings.model else "answers"

    async def close(self) -> None:
        """See RemoteTranscriber.close."""
        await self._edge.close()

    def _address(self, path: str) -> str:
        if not self._settings.url:
            raise ConfigurationError("whisper_server.url is not set; set it to the server's address")
        return f"{self._settings.url.rstrip('/')}/{path}"


def _fields(options: TranscribeOptions) -> dict[str, str]:
    """As our own whisper.cpp engine asks, but for the language, which only a second look of the server tells."""
    return {
        "response_format": "verbose_json",
        "language": options.language or "auto",
        "no_language_probabilities": "true" if options.language else "false",
        "translate": "true" if options.translate else "false",
        "prompt": options.prompt,
        "temperature": "0.0",
        "temperature_inc": "0.2",
        "max_context": _PROMPT_TOKENS if options.prompt else "0",
        "suppress_nst": "true",
        # one segment a word: its tokens, which it would give otherwise, may be halves of a character
        "max_len": "1",
        "split_on_word": "true",
    }


class _Token(BaseModel):
    probability: FiniteFloat = 0.0


class _Piece(BaseModel):
    text: str
    start: FiniteFloat
    end: FiniteFloat
    words: list[_Token] = []

    @property
    def probability(self) -> float:
        return sum(token.probability for token in self.words) / len(self.words) if self.words else 0.0


class _Transcription(BaseModel):
    language: str = ""
    detected_language: str = ""
    detected_language_probability: float = 0.0
    segments: list[_Piece]

    def heard_language(self) -> tuple[str, float]:
        """The language's code and how sure that is.

        A model that knows only English takes everything for that, whatever it detects.
        """
        code = known_language(self.language)
        sure = self.detected_language_probability if self.detected_language == self.language else 1.0
        return code, sure if code else 0.0

    def words(self, *, spaced: bool) -> list[Word]:
        """The words of all segments."""
        return [
            word
            for piece in self.segments
            for word in divide_piece(piece.text, piece.start, piece.end, piece.probability, spaced=spaced)
        ]
