from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.speech_servers import SpeechServer, serve_speech

from v2t.config.providers import OpenAiSettings
from v2t.domain.errors import EngineEmptyResult, ProviderFailed, ProviderRejected
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult
from v2t.providers.openai import MODELS, OpenAi

CHUNK = Chunk(0, "0.wav", (Piece(0.0, 10.0),))


@pytest.fixture
async def server() -> AsyncIterator[SpeechServer]:
    async with serve_speech(SpeechServer(lambda _words, _language: {"text": "Hello, world."})) as running:
        yield running


async def hear(
    server: SpeechServer, audio: Path, model: str = "base", settings: Any = None, **options: Any
) -> EngineResult:
    told = {"base_url": f"{server.address}/v1", "api_key": "key"} | (settings or {})
    provider = OpenAi(OpenAiSettings.model_validate(told))
    try:
        return await provider.transcribe(audio, CHUNK, TranscribeOptions(model=model, **options), lambda _: None)
    finally:
        await provider.close()


def answering(server: SpeechServer, document: object) -> SpeechServer:
    server.answer = lambda _words, _language: document
    return server


def segment(text: str, start: float, end: float, **more: object) -> dict[str, object]:
    return {"text": text, "start": start, "end": end, "avg_logprob": -0.5, "no_speech_prob": 0.25, **more}


def bare(*words: str) -> list[dict[str, object]]:
    return [{"word": word, "start": float(place), "end": place + 0.5} for place, word in enumerate(words)]


def test_the_models_are_those_of_the_sdk() -> None:
    assert {"whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"} <= MODELS


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("whisper-1", {"response_format": "verbose_json", "prompt": "Weimar", "language": "de"}),
        ("gpt-4o-transcribe", {"response_format": "json", "prompt": "Weimar", "language": "de"}),
        ("gpt-4o-mini-transcribe", {"response_format": "json", "prompt": "Weimar", "language": "de"}),
        (
            "gpt-4o-transcribe-diarize",
            {"response_format": "diarized_json", "chunking_strategy": "auto", "language": "de"},
        ),
    ],
)
async def test_each_model_is_asked_for_what_it_gives_most_of(
    server: SpeechServer, audio: Path, model: str, fields: dict[str, str]
) -> None:
    await hear(server, audio, model, prompt="Weimar", language="de")
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/v1/audio/transcriptions")
    assert seen.headers["authorization"] == "Bearer key"
    given = {name: value for name, value in seen.fields.items() if name != "file"}
    words = given.pop("timestamp_granularities[]", None)
    assert given == {"model": model, **fields}
    assert (words is not None) == (model == "whisper-1")
    if words:
        assert seen.body.count(b'name="timestamp_granularities[]"') == 2


async def test_a_model_that_is_not_openai_s_is_the_one_of_the_settings(server: SpeechServer, audio: Path) -> None:
    await hear(server, audio, "large-v3")
    await hear(server, audio, "base", {"model": "Systran/faster-whisper-small", "response_format": "verbose_json"})
    assert [(seen.fields["model"], seen.fields["response_format"]) for seen in server.seen] == [
        ("whisper-1", "verbose_json"),
        ("Systran/faster-whisper-small", "verbose_json"),
    ]


async def test_without_segments_the_text_is_one_as_long_as_the_chunk(server: SpeechServer, audio: Path) -> None:
    result = await hear(server, audio, "gpt-4o-transcribe")
    assert [(s.start, s.end, s.text, s.words) for s in result.segments] == [(0.0, 10.0, "Hello, world.", ())]
    assert (result.language, result.language_probability) == ("", 0.0)


async def test_words_get_the_punctuation_of_their_segment(server: SpeechServer, audio: Path) -> None:
    answering(
        server,
        {
            "text": "",
            "language": "english",
            "segments": [segment(" Well, twenty-one.", 0.0, 2.9), segment(" It's — so!", 3.0, 5.0)],
            "words": bare("well", "twenty", "one", "It's", "so"),
        },
    )
    result = await hear(server, audio, "whisper-1")
    assert [[(w.text, w.start, w.end) for w in s.words] for s in result.segments] == [
        [("Well,", 0.0, 0.5), ("twenty-one.", 1.0, 2.5)],
        [("It's —", 3.0, 3.5), ("so!", 4.0, 4.5)],
    ]
    assert [s.text for s in result.segments] == ["Well, twenty-one.", "It's — so!"]
    assert result.segments[0].probability == pytest.approx(0.6065, abs=0.001)
    assert result.segments[0].no_speech_probability == 0.25


async def test_words_that_spell_otherwise_than_their_segment_are_kept_as_they_are(
    server: SpeechServer, audio: Path
) -> None:
    answering(
        server,
        {
            "text": "",
            "segments": [segment("About $5 now.", 0.0, 9.0)],
            "words": bare("about", "five", "dollars", "now"),
        },
    )
    (heard,) = (await hear(server, audio, "whisper-1")).segments
    assert [word.text for word in heard.words] == ["about", "five", "dollars", "now"]
    assert heard.text == "About $5 now."


async def test_without_spaces_words_are_kept_as_they_are(server: SpeechServer, audio: Path) -> None:
    answering(
        server,
        {
            "text": "",
            "language": "japanese",
            "segments": [segment("日本語です。", 0.0, 9.0)],
            "words": bare("日本", "語", "です"),
        },
    )
    result = await hear(server, audio, "whisper-1")
    assert result.language == "ja"
    assert [(word.text, word.spaced) for word in result.segments[0].words] == [
        ("日本", False),
        ("語", False),
        ("です", False),
    ]


@pytest.mark.parametrize(
    ("document", "heard"),
    [
        ({"text": "a", "languages": [{"code": "fr"}]}, ("fr", 1.0)),
        ({"text": "a", "languages": []}, ("", 0.0)),
        ({"text": "a", "language": "klingon"}, ("", 0.0)),
        ({"text": "a", "language": None}, ("", 0.0)),
    ],
)
async def test_the_language_is_read_where_the_model_says_it(
    server: SpeechServer, audio: Path, document: object, heard: tuple[str, float]
) -> None:
    result = await hear(answering(server, document), audio, "gpt-transcribe")
    assert (result.language, result.language_probability) == heard


async def test_a_translation_goes_to_its_own_address_and_says_nothing_of_the_language(
    server: SpeechServer, audio: Path
) -> None:
    answering(server, {"text": "Hello", "language": "english", "segments": [segment("Hello", 0.0, 1.0)]})
    result = await hear(server, audio, translate=True)
    told = await hear(server, audio, translate=True, language="de")
    assert {seen.path for seen in server.seen} == {"/v1/audio/translations"}
    assert not {"language", "timestamp_granularities[]"} & server.seen[1].fields.keys()
    assert (result.language, result.language_probability) == ("", 0.0)
    assert (told.language, told.language_probability) == ("de", 1.0)
    assert result.segments[0].text == "Hello"


async def test_other_models_do_not_translate(server: SpeechServer, audio: Path) -> None:
    with pytest.raises(ProviderRejected, match="gpt-4o-transcribe does not translate; whisper-1 does"):
        await hear(server, audio, "gpt-4o-transcribe", translate=True)
    assert server.seen == []


async def test_a_file_over_the_limit_is_not_sent(server: SpeechServer, audio: Path) -> None:
    with audio.open("wb") as file:
        file.truncate(26_214_401)
    with pytest.raises(ProviderRejected, match="26214400 bytes"):
        await hear(server, audio)
    assert server.seen == []


async def test_blank_segments_are_no_text(server: SpeechServer, audio: Path) -> None:
    answering(server, {"text": " ", "segments": [segment(" ", 0.0, 9.0)], "words": []})
    with pytest.raises(EngineEmptyResult):
        await hear(server, audio)


@pytest.mark.parametrize("start", ["NaN", "Infinity", "1e999", '"soon"'])
async def test_a_time_that_is_no_number_makes_no_answer(server: SpeechServer, audio: Path, start: str) -> None:
    async def misbehave(wire: Any, _seen: Any) -> None:
        await wire.answer(200, f'{{"text": "a", "segments": [{{"text": "a", "start": {start}, "end": 1}}]}}'.encode())

    server.misbehaviours = [misbehave]
    with pytest.raises(ProviderFailed, match="cannot be read"):
        await hear(server, audio)


async def test_the_check_looks_for_the_model(server: SpeechServer) -> None:
    server.health = {"data": [{"id": "whisper-1"}, {"id": "other"}]}
    address = f"{server.address}/v1"
    for model, offered in (("whisper-1", True), ("gone", False)):
        provider = OpenAi(OpenAiSettings.model_validate({"base_url": address, "api_key": "key", "model": model}))
        if offered:
            assert await provider.check() == "offers whisper-1"
        else:
            with pytest.raises(ProviderRejected, match="does not offer the model gone"):
                await provider.check()
        await provider.close()


@pytest.mark.parametrize(
    ("model", "words", "translation"),
    [("whisper-1", True, True), ("gpt-4o-transcribe", False, False), ("gpt-4o-transcribe-diarize", False, False)],
)
async def test_what_it_can_do_depends_on_the_model(model: str, words: bool, translation: bool) -> None:
    capabilities = OpenAi(OpenAiSettings(model=model, dollars_per_minute=0.003)).capabilities
    assert (capabilities.words, capabilities.translation) == (words, translation)
    assert (capabilities.limit_bytes, capabilities.dollars_per_minute) == (26_214_400, 0.003)
