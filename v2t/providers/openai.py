"""OpenAI's transcription through its own SDK, and servers that speak the same API."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, get_args

import openai
from openai.types import AudioModel
from pydantic import BaseModel, FiniteFloat

from v2t.config.providers import OpenAiSettings
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import ProviderRejected, V2TError
from v2t.domain.jobs import Chunk, TranscribeOptions
from v2t.domain.languages import is_spaced
from v2t.domain.ports import EngineResult, OnProgress
from v2t.domain.transcript import Segment, Word
from v2t.providers._http import TIMEOUT, HttpEdge
from v2t.providers.heard import known_language, make_result

MODELS: frozenset[str] = frozenset(get_args(AudioModel))
"""Those that the installed SDK knows."""

_LIMIT_BYTES = 26_214_400
"""Of a file: "Maximum content size limit exceeded" says the API above 25 MiB."""

_TRANSLATES = "whisper-1"
"""The only model of the translations endpoint (openai/types/audio/translation_create_params.py)."""


class OpenAi:
    """Transcriber on OpenAI's API.

    Args:
        settings: the section `openai`.

    Raises:
        ConfigurationError: the certificate authority cannot be read.
    """

    name: ClassVar[str] = "openai"

    def __init__(self, settings: OpenAiSettings) -> None:
        self._settings = settings
        self._edge = HttpEdge(self.name, settings, url_setting="base_url", key_setting="api_key")

    @property
    def capabilities(self) -> Capabilities:
        """See RemoteTranscriber.capabilities."""
        return Capabilities(
            words=self._format(self._settings.model) == "verbose_json",
            translation=self._settings.model == _TRANSLATES,
            limit_bytes=_LIMIT_BYTES,
            dollars_per_minute=self._settings.dollars_per_minute,
        )

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        """See Transcriber.transcribe."""
        model = options.model if options.model in MODELS else self._settings.model
        if options.translate and model != _TRANSLATES:
            raise ProviderRejected(f"OpenAI's {model} does not translate; {_TRANSLATES} does")
        self._edge.check_size(audio, _LIMIT_BYTES)
        started = time.monotonic()
        with audio.open("rb") as file:
            parameters = self._parameters(model, options) | {"file": ("audio.wav", file, "audio/wav")}
            async with self._asking(chunk.speech_seconds):
                endpoint = self._client.audio.translations if options.translate else self._client.audio.transcriptions
                body = (await endpoint.with_raw_response.create(**parameters)).content
        answer = self._edge.parse(_Transcription, body)
        language, probability = (options.language, 1.0) if options.language else answer.heard_language()
        if options.translate and not options.language:
            language, probability = "", 0.0  # the answer names the language of the translation
        segments = answer.as_segments(chunk.speech_seconds)
        on_progress(1.0)
        return make_result(chunk, segments, language, probability, time.monotonic() - started)

    async def check(self) -> str:
        """See RemoteTranscriber.check."""
        async with self._asking(0.0):
            body = (await self._client.models.with_raw_response.list()).content
        offered = {model.id for model in self._edge.parse(_Models, body).data}
        if self._settings.model not in offered:
            raise ProviderRejected(f"openai does not offer the model {self._settings.model}; set openai.model")
        return f"offers {self._settings.model}"

    async def close(self) -> None:
        """See RemoteTranscriber.close."""
        await self._edge.close()

    @cached_property
    def _client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._settings.base_url,
            timeout=TIMEOUT,
            max_retries=0,
            http_client=self._edge.client,
        )

    async def _key(self) -> str:
        """The key, which the SDK asks for before each request."""
        return self._edge.reveal(self._settings.api_key, "api_key")

    @asynccontextmanager
    async def _asking(self, speech_seconds: float) -> AsyncIterator[None]:
        """Unwrap the edge's errors, which the SDK takes for broken connections."""
        try:
            async with self._edge.within(speech_seconds):
                yield
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, V2TError):
                raise error.__cause__ from None
            raise

    def _format(self, model: str) -> str:
        if self._settings.response_format != "auto":
            return self._settings.response_format
        if model == "whisper-1":
            return "verbose_json"
        return "diarized_json" if model.endswith("-diarize") else "json"

    def _parameters(self, model: str, options: TranscribeOptions) -> dict[str, Any]:
        response_format = self._format(model)
        parameters: dict[str, Any] = {"model": model, "response_format": response_format}
        if response_format == "diarized_json":  # takes no prompt, and cuts what is longer than 30 s itself
            parameters["chunking_strategy"] = "auto"
        elif options.prompt:
            parameters["prompt"] = options.prompt
        if not options.translate:
            if options.language:
                parameters["language"] = options.language
            if response_format == "verbose_json":
                parameters["timestamp_granularities"] = ["word", "segment"]
        return parameters


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


class _Word(BaseModel):
    word: str
    start: FiniteFloat
    end: FiniteFloat


class _Segment(BaseModel):
    text: str
    start: FiniteFloat
    end: FiniteFloat
    avg_logprob: FiniteFloat | None = None
    no_speech_prob: FiniteFloat | None = None

    @property
    def probability(self) -> float:
        return 0.0 if self.avg_logprob is None else min(1.0, math.exp(self.avg_logprob))


class _Language(BaseModel):
    code: str


class _Transcription(BaseModel):
    """What all response formats have in common; fields that a format lacks are empty."""

    text: str
    language: str | None = None
    languages: list[_Language] | None = None
    segments: list[_Segment] | None = None
    words: list[_Word] | None = None

    def heard_language(self) -> tuple[str, float]:
        """The language's code and how sure that is; nothing where the model does not say."""
        named = self.language or (self.languages[0].code if self.languages else "")
        code = known_language(named)
        return code, 1.0 if code else 0.0

    def as_segments(self, speech_seconds: float) -> list[Segment]:
        """The segments with their words; without segments, one as long as the audio."""
        if not self.segments:
            return [Segment(0.0, speech_seconds, self.text.strip())]
        spaced = is_spaced(self.heard_language()[0])
        left = list(self.words or ())
        segments = []
        for position, item in enumerate(self.segments):
            last = position == len(self.segments) - 1
            count = len(left) if last else sum((word.start + word.end) / 2 < item.end for word in left)
            own, left = left[:count], left[count:]
            words = _with_punctuation(item.text, own, item.probability) if spaced else ()
            words = words or tuple(Word(w.word.strip(), w.start, w.end, item.probability, spaced) for w in own)
            no_speech = item.no_speech_prob or 0.0
            segments.append(Segment(item.start, item.end, item.text.strip(), words, item.probability, no_speech))
        return segments


def _with_punctuation(text: str, words: Sequence[_Word], probability: float) -> tuple[Word, ...]:
    """The segment's text cut at spaces, each part with the time of the bare words that it is made of.

    Nothing where the two do not spell the same.
    """
    letters = [(letter, word) for word in words for letter in _letters(word.word)]
    found: list[Word] = []
    for part in text.split():
        spelled = _letters(part)
        own = letters[: len(spelled)]
        if "".join(letter for letter, _ in own) != spelled:
            return ()
        letters = letters[len(spelled) :]
        if own:
            found.append(Word(part, own[0][1].start, own[-1][1].end, probability))
        elif found:  # punctuation alone
            before = found.pop()
            found.append(Word(f"{before.text} {part}", before.start, before.end, probability))
    return () if letters else tuple(found)


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
