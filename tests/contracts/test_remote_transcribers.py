"""What every provider on another machine must do, against servers that speak its API."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from support.processes import until
from support.speech_apis import SPEECH_SECONDS, SPOKEN, Api, hear
from support.speech_servers import SpeechServer, hangs

from v2t.domain.errors import EngineEmptyResult, ProviderRejected
from v2t.domain.ports import RemoteTranscriber


async def test_the_words_arrive(provider: RemoteTranscriber, audio: Path) -> None:
    progress: list[float] = []
    result = await hear(provider, audio, progress=progress.append)
    assert " ".join(segment.text for segment in result.segments) == "Ask not what your country can do for you."
    assert (result.language, result.language_probability > 0.9) == ("en", True)
    assert result.engine_seconds > 0
    assert progress == sorted(progress)
    assert all(0 <= fraction <= 1 for fraction in progress)


async def test_words_have_their_times_and_punctuation(provider: RemoteTranscriber, audio: Path) -> None:
    words = [word for segment in (await hear(provider, audio)).segments for word in segment.words]
    if not provider.capabilities.words:
        assert words == []
        return
    assert [(word.text, word.start, word.end) for word in words] == [
        (word.text, word.start, word.end) for word in SPOKEN
    ]
    assert all(0 < word.probability <= 1 and word.spaced for word in words)


async def test_times_are_rising_and_inside_the_chunk_even_where_the_answer_s_are_not(
    provider: RemoteTranscriber, server: SpeechServer, audio: Path
) -> None:
    server.words = [replace(SPOKEN[0], start=-2.0), *SPOKEN[1:-1], replace(SPOKEN[-1], start=50.0, end=60.0)]
    result = await hear(provider, audio)
    segments = [(segment.start, segment.end) for segment in result.segments]
    words = [(word.start, word.end) for segment in result.segments for word in segment.words]
    for times in (segments, words):
        assert all(0 <= start <= end <= SPEECH_SECONDS for start, end in times)
        assert all(before[0] <= after[0] for before, after in pairwise(times))


async def test_the_audio_arrives_whole_under_a_name_that_says_nothing(
    provider: RemoteTranscriber, server: SpeechServer, audio: Path
) -> None:
    content = await asyncio.to_thread(audio.read_bytes)
    await hear(provider, audio)
    (seen,) = server.seen
    assert seen.parts["file"] == content
    assert b'filename="audio.wav"' in seen.body


async def test_the_language_is_the_one_that_was_heard_or_the_one_that_was_told(
    provider: RemoteTranscriber, server: SpeechServer, audio: Path
) -> None:
    server.language = "de"
    heard = await hear(provider, audio)
    told = await hear(provider, audio, language="en")
    assert heard.language == "de"
    assert (told.language, told.language_probability) == ("en", 1.0)
    assert "en" in server.seen[1].fields.values()
    assert "en" not in server.seen[0].fields.values()


async def test_no_text_where_there_surely_is_speech_is_a_failure(
    provider: RemoteTranscriber, server: SpeechServer, audio: Path
) -> None:
    server.words = []
    with pytest.raises(EngineEmptyResult):
        await hear(provider, audio)
    assert (await hear(provider, audio, seconds=2.0)).segments == ()


async def test_cancelling_closes_the_connection_within_2_seconds(
    provider: RemoteTranscriber, server: SpeechServer, audio: Path
) -> None:
    server.misbehaviours = [hangs]
    task = asyncio.create_task(hear(provider, audio))
    await until(lambda: server.seen, "the request arrives")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.closed == 1, "the connection is closed", seconds=2.0)
    assert (await hear(provider, audio)).segments


async def test_five_requests_share_a_connection(provider: RemoteTranscriber, server: SpeechServer, audio: Path) -> None:
    for _ in range(5):
        await hear(provider, audio)
    assert (len(server.seen), server.connections) == (5, 1)


async def test_it_knows_its_name_and_closes_its_connections(
    api: Api, provider: RemoteTranscriber, server: SpeechServer, audio: Path
) -> None:
    await hear(provider, audio)
    await provider.close()
    assert provider.name == api.name
    await until(lambda: server.closed == server.connections == 1, "the connection is closed")


async def test_a_translation_is_made_or_refused_as_the_capabilities_say(
    provider: RemoteTranscriber, server: SpeechServer, audio: Path
) -> None:
    if provider.capabilities.translation:
        assert (await hear(provider, audio, translate=True)).segments
    else:
        with pytest.raises(ProviderRejected, match="does not translate"):
            await hear(provider, audio, translate=True)
        assert server.seen == []
