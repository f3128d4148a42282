from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.speech_servers import SpeechServer, serve_speech

from v2t.config.providers import ElevenLabsSettings
from v2t.domain.errors import ProviderRejected
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.languages import LANGUAGES
from v2t.domain.ports import EngineResult
from v2t.providers.elevenlabs import _CODES, ElevenLabs


@pytest.fixture
async def server() -> AsyncIterator[SpeechServer]:
    async with serve_speech(SpeechServer(lambda _words, _language: {"text": "Hello"})) as running:
        yield running


async def hear(
    server: SpeechServer,
    audio: Path,
    document: object = None,
    seconds: float = 10.0,
    settings: Any = None,
    **options: Any,
) -> EngineResult:
    if document:
        server.answer = lambda _words, _language: document
    told = {"base_url": server.address, "api_key": "key"} | (settings or {})
    provider = ElevenLabs(ElevenLabsSettings.model_validate(told))
    chunk = Chunk(0, "0.wav", (Piece(0.0, seconds),))
    try:
        return await provider.transcribe(audio, chunk, TranscribeOptions(**options), lambda _: None)
    finally:
        await provider.close()


def item(text: str, start: float | None, end: float | None, kind: str = "word", **more: object) -> dict[str, object]:
    return {"text": text, "start": start, "end": end, "type": kind, **more}


async def test_it_is_asked_for_words_and_nothing_else(server: SpeechServer, audio: Path) -> None:
    await hear(server, audio)
    await hear(server, audio, language="de", settings={"tag_audio_events": True, "model": "scribe_v1"})
    first, second = server.seen
    assert (first.method, first.path, first.headers["xi-api-key"]) == ("POST", "/v1/speech-to-text", "key")
    assert {name: value for name, value in first.fields.items() if name != "file"} == {
        "model_id": "scribe_v2",
        "timestamps_granularity": "word",
        "tag_audio_events": "false",
        "diarize": "false",
    }
    told = second.fields
    await hear(server, audio, language="jw")
    assert server.seen[2].fields["language_code"] == "jv"
    assert (told["language_code"], told["tag_audio_events"], told["model_id"]) == ("de", "true", "scribe_v1")


async def test_words_become_phrases_with_sounds_among_them(server: SpeechServer, audio: Path) -> None:
    document = {
        "text": "Hello. (laughter) You there",
        "language_code": "eng",
        "language_probability": 0.9,
        "words": [
            item("Hello.", 0.0, 0.5, logprob=-0.5, speaker_id="speaker_0"),
            item(" ", 0.5, 0.6, "spacing"),
            item("(laughter)", 0.6, 1.0, "audio_event"),
            item(" ", 1.0, 1.1, "spacing"),
            item("You", 3.0, 3.2),
            item(" ", None, None, "spacing"),
            item("there", None, None),
        ],
    }
    result = await hear(server, audio, document)
    assert [(s.text, s.start, s.end) for s in result.segments] == [
        ("Hello.", 0.0, 0.5),
        ("(laughter)", 0.6, 1.0),
        ("You there", 3.0, 3.2),
    ]
    assert result.segments[0].probability == pytest.approx(0.6065, abs=0.001)
    assert result.segments[1].probability == 0.0
    assert (result.language, result.language_probability) == ("en", 0.9)


async def test_words_without_spaces_between_them_are_joined_without(server: SpeechServer, audio: Path) -> None:
    words = [
        item("日本", 0.0, 0.5),
        item("語", 0.5, 1.0),
        item("OK", 1.0, 1.5),
        item(" ", 1.5, 1.6, "spacing"),
        item("go", 1.6, 2.0),
    ]
    result = await hear(
        server, audio, {"text": "", "language_code": "jpn", "language_probability": 1.0, "words": words}
    )
    (segment,) = result.segments
    assert segment.text == "日本語OK go"
    assert [word.spaced for word in segment.words] == [False, False, False, True]


async def test_text_without_words_is_one_segment(server: SpeechServer, audio: Path) -> None:
    (segment,) = (await hear(server, audio)).segments
    assert (segment.start, segment.end, segment.text, segment.words) == (0.0, 10.0, "Hello", ())


@pytest.mark.parametrize(
    ("code", "heard"),
    [("deu", "de"), ("cmn", "zh"), ("jav", "jw"), ("yue", "yue"), ("fr", "fr"), ("ast", ""), ("", "")],
)
async def test_the_language_is_told_in_whisper_s_codes(
    server: SpeechServer, audio: Path, code: str, heard: str
) -> None:
    document = {"text": "a", "language_code": code, "language_probability": 0.7}
    result = await hear(server, audio, document)
    assert (result.language, result.language_probability) == (heard, 0.7 if heard else 0.0)


def test_every_language_of_whisper_has_a_code_of_three_letters() -> None:
    assert set(_CODES.values()) == set(LANGUAGES)
    assert all(len(code) == 3 for code in _CODES)


async def test_audio_over_its_limits_is_not_sent(server: SpeechServer, audio: Path) -> None:
    with pytest.raises(ProviderRejected, match="10 hours"):
        await hear(server, audio, seconds=36_001.0)
    with audio.open("wb") as file:
        file.truncate(3_000_000_001)
    with pytest.raises(ProviderRejected, match="3000000000 bytes"):
        await hear(server, audio)
    assert server.seen == []
