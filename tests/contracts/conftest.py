"""Each provider on another machine, with a server that speaks its API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from support.recordings import SAMPLE_RATE, write_wav
from support.speech_apis import APIS, SECRET, SPEECH_SECONDS, SPOKEN, Api
from support.speech_servers import SpeechServer, serve_speech

from v2t.domain.ports import RemoteTranscriber


@pytest.fixture(params=APIS, ids=lambda api: api.name)
def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setenv("SPEECH_SECRET", SECRET)
    found: Api = request.param
    return found


@pytest.fixture
async def server(api: Api) -> AsyncIterator[SpeechServer]:
    async with serve_speech(SpeechServer(api.answer, api.health, list(SPOKEN))) as running:
        yield running


@pytest.fixture
async def provider(api: Api, server: SpeechServer) -> AsyncIterator[RemoteTranscriber]:
    opened = api.open(server.address)
    yield opened
    await opened.close()


@pytest.fixture
async def hasty(api: Api, server: SpeechServer) -> AsyncIterator[RemoteTranscriber]:
    """The same provider, which waits for a moment only."""
    opened = api.open(server.address, timeout_seconds=0.3, timeout_factor=0)
    yield opened
    await opened.close()


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "0.wav", np.zeros(round(SPEECH_SECONDS * SAMPLE_RATE), np.int16))
