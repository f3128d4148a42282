"""The clients of speech services as a person would use them without v2t, and how much longer v2t takes than they do."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
from support.speech_apis import SECRET, SPOKEN, Api, hear
from support.speech_servers import Seen, SpeechServer, serve_speech

Call = Callable[[], Awaitable[object]]
"""Has the audio transcribed, and reads the answer."""

_SECRETS = frozenset({"authorization", "xi-api-key"})


def bare_client(api: Api, address: str, audio: Path) -> AbstractAsyncContextManager[Call]:
    """The client of a service that has one, else httpx."""
    return _sdk(address, audio) if api.name == "openai" else _http(api, address, audio)


@asynccontextmanager
async def _sdk(address: str, audio: Path) -> AsyncIterator[Call]:
    """OpenAI's SDK, for the words of whisper-1."""

    async def call() -> object:
        with audio.open("rb") as file:
            return await client.audio.transcriptions.create(
                model="whisper-1",
                file=("audio.wav", file, "audio/wav"),
                language="en",
                response_format="verbose_json",
                timestamp_granularities=["word", "segment"],
            )

    async with openai.AsyncOpenAI(api_key=SECRET, base_url=f"{address}/v1", max_retries=0) as client:
        yield call


@asynccontextmanager
async def _http(api: Api, address: str, audio: Path) -> AsyncIterator[Call]:
    """httpx, which sends what v2t sends."""
    sent = await _sent_by_v2t(api, audio)
    fields = sent.fields
    (field,) = sent.parts.keys() - fields.keys()
    secrets = {name: value for name, value in sent.headers.items() if name in _SECRETS}

    async def call() -> object:
        with audio.open("rb") as file:
            files = {field: ("audio.wav", file, "audio/wav")}
            answer = await client.request(sent.method, sent.path, headers=secrets, data=fields, files=files)
        return answer.raise_for_status().json()

    async with httpx.AsyncClient(base_url=address, timeout=None) as client:  # noqa: S113 - as long as v2t waits
        yield call


async def _sent_by_v2t(api: Api, audio: Path) -> Seen:
    async with serve_speech(SpeechServer(api.answer, words=SPOKEN)) as server:
        provider = api.open(server.address)
        await hear(provider, audio, language="en")
        await provider.close()
        return server.seen[-1]


@dataclass(frozen=True)
class Overhead:
    """How long the bare call takes, and how much longer ours does: medians, in seconds."""

    bare: float
    over: float

    @property
    def share(self) -> float:
        return self.over / self.bare

    def __str__(self) -> str:
        return f"{1000 * self.over:+.1f} ms, {100 * self.share:+.1f} %, over {1000 * self.bare:.1f} ms"


async def compare(ours: Call, bare: Call, times: int) -> Overhead:
    """Make both calls so many times, each time the other one first; the first of each, which connects, counts not."""
    await bare()
    await ours()
    alone, over = [], []
    for number in range(times):
        seconds = {}
        for call in (ours, bare) if number % 2 else (bare, ours):
            started = time.perf_counter()
            await call()
            seconds[call] = time.perf_counter() - started
        alone.append(seconds[bare])
        over.append(seconds[ours] - seconds[bare])
    return Overhead(statistics.median(alone), statistics.median(over))
