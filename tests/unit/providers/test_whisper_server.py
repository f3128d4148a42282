from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import until
from support.speech_apis import whisper_server_answer
from support.speech_servers import SpeechServer, Spoken, says, serve_speech

from v2t.config.providers import WhisperServerSettings
from v2t.domain.errors import ConfigurationError, ProviderBusy, ProviderRejected
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult
from v2t.providers.whisper_server import WhisperServer

CHUNK = Chunk(0, "0.wav", (Piece(0.0, 10.0),))


@pytest.fixture
async def server() -> AsyncIterator[SpeechServer]:
    speech = SpeechServer(whisper_server_answer, {"status": "ok"}, [Spoken("Hello.", 0.0, 1.0)])
    async with serve_speech(speech) as running:
        yield running


@pytest.fixture
async def provider(server: SpeechServer) -> AsyncIterator[WhisperServer]:
    opened = WhisperServer(WhisperServerSettings(url=f"{server.address}/"))
    yield opened
    await opened.close()


async def hear(provider: WhisperServer, audio: Path, **options: Any) -> EngineResult:
    return await provider.transcribe(audio, CHUNK, TranscribeOptions(**options), lambda _: None)


async def test_all_that_its_start_may_have_set_otherwise_is_told(
    provider: WhisperServer, server: SpeechServer, audio: Path
) -> None:
    await hear(provider, audio)
    await hear(provider, audio, language="de", translate=True, prompt="Weimar")
    first, second = (seen.fields for seen in server.seen)
    assert server.seen[0].path == "/inference"
    assert first == {
        "file": "RIFF",
        "response_format": "verbose_json",
        "language": "auto",
        "no_language_probabilities": "false",
        "translate": "false",
        "prompt": "",
        "temperature": "0.0",
        "temperature_inc": "0.2",
        "max_context": "0",
        "suppress_nst": "true",
        "max_len": "1",
        "split_on_word": "true",
    }
    told = {"language": "de", "no_language_probabilities": "true", "translate": "true", "prompt": "Weimar"}
    assert second == first | told | {"max_context": "224"}


async def test_one_request_at_a_time_is_sent_and_waiting_costs_no_time(server: SpeechServer, audio: Path) -> None:
    inside = []
    answered = asyncio.Event()

    async def slowly(wire: Any, _seen: Any) -> None:
        inside.append(len(server.seen))
        await asyncio.wait_for(answered.wait(), 5.0)
        await wire.answer(500, b"")

    server.misbehaviours = [slowly]
    provider = WhisperServer(WhisperServerSettings(url=server.address, timeout_seconds=1.0, timeout_factor=0))
    first, second = (asyncio.create_task(hear(provider, audio)) for _ in range(2))
    await until(lambda: inside == [1], "the first request arrives")
    await asyncio.sleep(0.3)
    assert len(server.seen) == 1
    answered.set()
    assert (await second).segments
    assert first.done()
    assert first.exception()
    assert server.connections == 1
    await provider.close()


async def test_a_cancelled_request_gives_its_turn_away(
    provider: WhisperServer, server: SpeechServer, audio: Path
) -> None:
    async def hang(wire: Any, _seen: Any) -> None:
        await wire.until_closed()

    server.misbehaviours = [hang]
    first, second = (asyncio.create_task(hear(provider, audio)) for _ in range(2))
    await until(lambda: server.seen, "the first request arrives")
    first.cancel()
    assert (await asyncio.wait_for(second, 5.0)).segments


@pytest.mark.parametrize(
    ("document", "heard"),
    [
        ({"language": "german", "detected_language": "german", "detected_language_probability": 0.6}, ("de", 0.6)),
        ({"language": "english", "detected_language": "welsh", "detected_language_probability": 0.02}, ("en", 1.0)),
        ({"language": "klingon"}, ("", 0.0)),
        ({}, ("", 0.0)),
    ],
    ids=["detected", "a model of English alone", "unknown", "not told"],
)
async def test_the_language_is_read_as_it_is_meant(
    provider: WhisperServer, server: SpeechServer, audio: Path, document: dict[str, Any], heard: tuple[str, float]
) -> None:
    piece = {"text": " Hello.", "start": 0.0, "end": 1.0, "words": [{"probability": 0.5}, {"probability": 0.7}]}
    server.answer = lambda _words, _language: {"segments": [piece], **document}
    result = await hear(provider, audio)
    assert (result.language, result.language_probability) == heard
    assert result.segments[0].words[0].probability == pytest.approx(0.6)


async def test_without_spaces_each_character_is_a_word(
    provider: WhisperServer, server: SpeechServer, audio: Path
) -> None:
    piece = {"text": "日本語", "start": 0.0, "end": 3.0}
    server.answer = lambda _words, _language: {"segments": [piece], "language": "japanese"}
    (segment,) = (await hear(provider, audio)).segments
    assert [(word.text, word.start) for word in segment.words] == [("日", 0.0), ("本", 1.0), ("語", 2.0)]
    (translated,) = (await hear(provider, audio, translate=True)).segments
    assert [word.text for word in translated.words] == ["日本語"]


async def test_without_an_address_it_says_what_to_set(audio: Path) -> None:
    provider = WhisperServer(WhisperServerSettings())
    for use in (hear(provider, audio), provider.check()):
        with pytest.raises(ConfigurationError, match=r"whisper_server\.url is not set"):
            await use


async def test_the_check_sees_through_the_server_s_own_error_page(server: SpeechServer) -> None:
    provider = WhisperServer(WhisperServerSettings(url=server.address, model="large-v3"))
    server.misbehaviours = [says(404, "File Not Found (/health)"), says(404, "<html>nginx</html>")]
    with pytest.raises(ProviderBusy, match="loads a model"):
        await provider.check()
    with pytest.raises(ProviderRejected, match="404"):
        await provider.check()
    assert await provider.check() == "runs large-v3"
    await provider.close()
