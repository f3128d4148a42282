"""The APIs of the providers on other machines: how settings name a server, and how it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.speech_servers import Spoken
from v2t.config import Settings
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult, RemoteTranscriber
from v2t.providers.table import REMOTE_PROVIDERS, load_class


def openai_answer(words: list[Spoken], language: str) -> dict[str, Any]:
    """`verbose_json` of whisper-1: segments with punctuation, words without; the language by its English name."""
    return {
        "task": "transcribe",
        "duration": 11.0,
        "language": {"en": "english", "de": "german"}[language],
        "text": " ".join(word.text for word in words),
        "segments": [_segment(words) | {"avg_logprob": -0.2, "no_speech_prob": 0.01}] if words else [],
        "words": [{"word": word.text.strip(".,"), "start": word.start, "end": word.end} for word in words],
    }


def elevenlabs_answer(words: list[Spoken], language: str) -> dict[str, Any]:
    """Words and the spaces between them; the language by its code of three letters."""
    items: list[dict[str, Any]] = []
    for word in words:
        if items:
            items.append({"text": " ", "type": "spacing", "start": items[-1]["end"], "end": word.start})
        items.append({"text": word.text, "type": "word", "start": word.start, "end": word.end, "logprob": -0.1})
    return {
        "language_code": {"en": "eng", "de": "deu"}[language],
        "language_probability": 0.98,
        "text": " ".join(word.text for word in words),
        "words": items,
    }


def whisper_server_answer(words: list[Spoken], language: str) -> dict[str, Any]:
    """`verbose_json` of whisper.cpp's server when asked for one segment a word."""
    name = {"en": "english", "de": "german"}[language]
    return {
        "task": "transcribe",
        "language": name,
        "duration": 11.0,
        "text": "".join(f" {word.text}\n" for word in words),
        "detected_language": name,
        "detected_language_probability": 0.97,
        "segments": [_segment([word]) | {"words": [{"word": word.text, "probability": 0.9}]} for word in words],
    }


def plain_answer(words: list[Spoken], language: str) -> dict[str, Any]:
    """What many services answer."""
    return {
        "text": " ".join(word.text for word in words),
        "language": language,
        "segments": [_segment(words)] if words else [],
    }


def _segment(words: list[Spoken]) -> dict[str, Any]:
    text = " ".join(word.text for word in words)
    return {"text": f" {text}", "start": words[0].start, "end": words[-1].end}


SECRET = "sk-very-secret-0123456789"  # noqa: S105 - of nobody
SPEECH_SECONDS = 11.0
SPOKEN = [
    Spoken(text, 0.5 + place, 1.25 + place)
    for place, text in enumerate(["Ask", "not", "what", "your", "country", "can", "do", "for", "you."])
]


@dataclass(frozen=True)
class Api:
    """A provider, how its settings name a server, and how such a server answers."""

    name: str
    url_setting: str
    answer: Callable[[list[Spoken], str], object]
    path: str = ""
    key_setting: str = ""  # the setting that holds it
    health: object = field(default_factory=dict)
    more: dict[str, object] = field(default_factory=dict)

    def open(self, address: str, **settings: object) -> RemoteTranscriber:
        told = {self.url_setting: address + self.path, **self.more}
        if self.key_setting:
            told[self.key_setting] = "env:SPEECH_SECRET"
        section = Settings.model_validate({self.name: told | settings})
        provider: RemoteTranscriber = load_class(REMOTE_PROVIDERS[self.name])(getattr(section, self.name))
        return provider


APIS = (
    Api("openai", "base_url", openai_answer, path="/v1", key_setting="api_key", health={"data": [{"id": "whisper-1"}]}),
    Api("elevenlabs", "base_url", elevenlabs_answer, key_setting="api_key", health=[]),
    Api("whisper_server", "url", whisper_server_answer, health={"status": "ok"}),
    Api(
        "custom_http",
        "url",
        plain_answer,
        path="/asr",
        key_setting="secret",
        more={
            "authentication": "bearer",
            "allowed_hosts": "127.0.0.1",
            "segments_path": "segments",
            "language_path": "language",
            "language_field": "language",
        },
    ),
)


async def hear(
    provider: RemoteTranscriber,
    audio: Path,
    *,
    seconds: float = SPEECH_SECONDS,
    progress: Callable[[float], None] = lambda _: None,
    **options: Any,
) -> EngineResult:
    """What the provider hears in audio of so many seconds."""
    chunk = Chunk(0, "0.wav", (Piece(0.0, seconds),))
    return await provider.transcribe(audio, chunk, TranscribeOptions(**options), progress)
