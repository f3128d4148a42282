"""The provider of whisper.cpp's server against the real server."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from support.kennedy import SPEECH_SECONDS, assert_kennedy_is_heard
from support.processes import until
from support.recordings import read_wav, tile, write_wav
from support.whisper_build import built_program
from support.whisper_server import Server, running

from v2t.config.providers import WhisperServerSettings
from v2t.domain.errors import ProviderBusy, ProviderRejected, ProviderUnreachable
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult
from v2t.process.ports import free_port
from v2t.providers.whisper_server import WhisperServer
from v2t.weights.store import ModelStore

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def program() -> Path:
    return built_program("whisper-server")


@pytest.fixture(scope="module")
def find_model(models_folder: Path) -> Callable[[str], Path]:
    return lambda name: ModelStore(models_folder).ensure(name, "ggml")


@pytest.fixture(scope="module")
def server(
    program: Path, find_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with running(program, find_model("tiny.en"), tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def own_server(program: Path, find_model: Callable[[str], Path], tmp_path: Path) -> Iterator[Server]:
    with running(program, find_model("tiny.en"), tmp_path) as started:
        yield started


@pytest.fixture
def multilingual_server(program: Path, find_model: Callable[[str], Path], tmp_path: Path) -> Iterator[Server]:
    with running(program, find_model("base"), tmp_path) as started:
        yield started


@pytest.fixture
async def provider(server: Server) -> AsyncIterator[WhisperServer]:
    opened = WhisperServer(WhisperServerSettings(url=server.url))
    yield opened
    await opened.close()


async def hear(
    provider: WhisperServer, audio: Path, options: TranscribeOptions, seconds: float = SPEECH_SECONDS
) -> EngineResult:
    return await provider.transcribe(audio, Chunk(0, "0.wav", (Piece(0.0, seconds),)), options, lambda _: None)


async def test_it_hears_what_was_said_and_when(provider: WhisperServer, samples: Path) -> None:
    result = await hear(provider, samples / "jfk.wav", TranscribeOptions(language="en"))
    assert_kennedy_is_heard(result)


async def test_a_model_of_english_alone_is_sure_of_the_language(provider: WhisperServer, samples: Path) -> None:
    result = await hear(provider, samples / "jfk.wav", TranscribeOptions())
    assert (result.language, result.language_probability) == ("en", 1.0)


async def test_a_model_of_many_languages_says_how_sure_it_is(multilingual_server: Server, samples: Path) -> None:
    provider = WhisperServer(WhisperServerSettings(url=multilingual_server.url))
    result = await hear(provider, samples / "jfk.wav", TranscribeOptions())
    await provider.close()
    assert result.language == "en"
    assert 0.8 < result.language_probability <= 1


async def test_cancelling_stops_the_server_s_computing(
    server: Server, provider: WhisperServer, samples: Path, tmp_path: Path
) -> None:
    recording = write_wav(tmp_path / "long.wav", tile([read_wav(samples / "jfk.wav")], 115.0))
    task = asyncio.create_task(hear(provider, recording, TranscribeOptions(), 115.0))
    await until(lambda: server.says("115.0 sec"), "the server begins to compute", 30.0)
    assert not server.says("client disconnected")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.says("client disconnected, aborted processing"), "the server stops", 60.0)


async def test_what_is_no_audio_is_refused(provider: WhisperServer, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.wav"
    nonsense.write_bytes(b"not a WAV" * 1000)
    with pytest.raises(ProviderRejected, match="HTTP 400"):
        await hear(provider, nonsense, TranscribeOptions())


async def test_the_check_tells_whether_it_is_there(provider: WhisperServer) -> None:
    assert await provider.check() == "answers"
    gone = WhisperServer(WhisperServerSettings(url=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(ProviderUnreachable):
        await gone.check()
    await gone.close()


async def test_the_check_tells_that_it_loads_a_model(own_server: Server, tmp_path: Path) -> None:
    pipe = tmp_path / "model.bin"
    os.mkfifo(pipe)  # the server waits for somebody to write into it
    loading = threading.Thread(target=_post, args=(f"{own_server.url}/load", {"model": (None, str(pipe))}))
    loading.start()
    await until(lambda: not own_server.is_up(), "it begins to load")
    provider = WhisperServer(WhisperServerSettings(url=own_server.url))
    with pytest.raises(ProviderBusy, match="loads a model"):
        await provider.check()
    await provider.close()
    own_server.process.kill()
    loading.join()


def _post(url: str, form: dict[str, tuple[None, str]]) -> None:
    with suppress(httpx.TransportError):
        httpx.post(url, files=form, timeout=60.0)
