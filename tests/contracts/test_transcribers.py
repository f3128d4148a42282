"""What every engine on this machine must do, on real speech."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import wave
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from support.processes import children_of, until_gone
from support.whisper_build import built_program

from v2t.domain.errors import (
    EngineCrashed,
    EngineEmptyResult,
    EngineOutOfMemory,
    ProviderError,
)
from v2t.domain.jobs import SAMPLE_RATE, Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult
from v2t.process.pool import ChildPool
from v2t.providers.engine import LocalEngine
from v2t.providers.engines import Engines
from v2t.providers.table import LOCAL_PROVIDERS, load_class
from v2t.weights.catalogue import memory_bytes
from v2t.weights.store import ModelStore

TINY = TranscribeOptions(model="tiny.en", language="en")
SPEECH_SECONDS = 11.0
_MEGABYTE = 1024 * 1024


@dataclass
class Bench:
    """An engine of one process, and the pool that holds the process."""

    engine: LocalEngine
    pool: ChildPool

    async def hear(
        self,
        audio: Path,
        seconds: float,
        options: TranscribeOptions,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> EngineResult:
        return await self.engine.transcribe(audio, Chunk(0, "0.wav", (Piece(0.0, seconds),)), options, on_progress)


OpenBench = Callable[..., Bench]


OUTSIDE = "whisper_cli"
"""whisper_cpp as a program of its own, which has to be built."""


_QUICK = "faster_whisper"
"""The engine that `local` is here; the others' cases take a minute more of computing."""


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(name, marks=() if name == _QUICK else pytest.mark.servers) for name in (*LOCAL_PROVIDERS, OUTSIDE)
    ],
)
def provider_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def engines(provider_name: str) -> Engines:
    return Engines((str(built_program("whisper-cli")),) if provider_name == OUTSIDE else ())


@pytest.fixture(scope="session")
def make_bench(provider_name: str, engines: Engines, models_folder: Path) -> OpenBench:
    store = ModelStore(models_folder)

    async def locate(model: str, model_format: str) -> Path:
        return await asyncio.to_thread(store.ensure, model, model_format)

    def make(*, idle_seconds: float = 60.0, memory_limit: int = 0) -> Bench:
        pool = ChildPool(1, idle_seconds=idle_seconds, environment={"OMP_NUM_THREADS": "1"})
        provider = engines.providers["whisper_cpp" if provider_name == OUTSIDE else provider_name]
        engine = load_class(provider)(pool, locate, memory_bytes, memory_limit=memory_limit, engines=engines)
        return Bench(engine, pool)

    return make


@pytest.fixture
async def open_bench(make_bench: OpenBench) -> AsyncIterator[OpenBench]:
    opened: list[Bench] = []

    def open_one(**sizes: float) -> Bench:
        opened.append(make_bench(**sizes))
        return opened[-1]

    yield open_one
    for bench in opened:
        await bench.pool.close()


@dataclass
class Heard:
    """What came of two jobs on the same recording, one after the other."""

    results: tuple[EngineResult, EngineResult]
    pids: tuple[int, ...]
    progress: list[float]


@pytest.fixture(scope="session")
def heard(make_bench: OpenBench, samples: Path) -> Heard:
    async def hear() -> Heard:
        bench = make_bench()
        progress: list[float] = []
        results: list[EngineResult] = []
        pids: list[int] = []
        for report in (progress.append, lambda _: None):
            results.append(await bench.hear(samples / "jfk.wav", SPEECH_SECONDS, TINY, report))
            pids.extend(bench.pool.pids)
        await bench.pool.close()
        return Heard((results[0], results[1]), tuple(pids), progress)

    return asyncio.run(hear())


@pytest.fixture(scope="session")
def long_recording(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same speech four times: two of the 30-second windows that Whisper works on."""
    target = tmp_path_factory.mktemp("long") / "long.wav"
    with wave.open(str(samples / "jfk.wav")) as source, wave.open(str(target), "wb") as file:
        file.setparams(source.getparams())
        data = source.readframes(source.getnframes())
        for _ in range(4):
            file.writeframes(data)
    return target


def write_silence(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(bytes(2 * round(seconds * SAMPLE_RATE)))
    return path


async def begin_long_work(bench: Bench, audio: Path) -> asyncio.Task[EngineResult]:
    """Start a job and return when it has shown its first progress."""
    begun = asyncio.Event()
    task = asyncio.create_task(bench.hear(audio, 4 * SPEECH_SECONDS, TINY, lambda _: begun.set()))
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert not task.done(), "the recording is too short to be interrupted"
    return task


def test_the_words_are_those_that_were_spoken(heard: Heard) -> None:
    text = " ".join(segment.text for segment in heard.results[0].segments).lower().replace(",", "")
    assert "ask not what your country can do for you" in text
    assert "ask what you can do for your country" in text


def test_words_have_rising_times_inside_the_chunk(heard: Heard) -> None:
    words = [word for segment in heard.results[0].segments for word in segment.words]
    assert len(words) >= 20
    assert all(0 <= word.start <= word.end <= SPEECH_SECONDS for word in words)
    assert all(before.start <= after.start for before, after in pairwise(words))


def test_words_have_probabilities_and_no_space_around_them(heard: Heard) -> None:
    words = [word for segment in heard.results[0].segments for word in segment.words]
    assert all(0 < word.probability <= 1 and word.spaced for word in words)
    assert all(word.text == word.text.strip() != "" for word in words)


def test_segments_are_made_of_their_words(heard: Heard) -> None:
    for segment in heard.results[0].segments:
        assert segment.text.split() == [word.text for word in segment.words]
        assert segment.start == pytest.approx(segment.words[0].start, abs=0.5)
        assert segment.end == pytest.approx(segment.words[-1].end, abs=0.5)
        assert 0 < segment.probability <= 1


def test_progress_rises_to_the_end(heard: Heard) -> None:
    assert heard.progress == sorted(heard.progress)
    assert heard.progress[0] >= 0
    assert 0.8 < heard.progress[-1] <= 1


def test_one_child_does_one_job_after_the_other(heard: Heard) -> None:
    assert len(set(heard.pids)) == 1  # and keeps its model: tests/unit/providers/test_engine.py


def test_the_same_chunk_gives_the_same_text(heard: Heard) -> None:
    assert heard.results[0].segments == heard.results[1].segments


async def test_the_language_is_detected_or_taken_as_told(open_bench: OpenBench, samples: Path) -> None:
    bench = open_bench()
    detected = await bench.hear(samples / "jfk.wav", SPEECH_SECONDS, TranscribeOptions(model="base"))
    forced = await bench.hear(samples / "jfk.wav", SPEECH_SECONDS, TranscribeOptions(model="base", language="de"))
    assert detected.language == "en"
    assert 0.8 < detected.language_probability <= 1
    assert (forced.language, forced.language_probability) == ("de", 1.0)
    assert forced.segments != detected.segments


async def test_cancelling_stops_the_computing_within_2_seconds(open_bench: OpenBench, long_recording: Path) -> None:
    bench = open_bench()
    task = await begin_long_work(bench, long_recording)
    (pid,) = bench.pool.pids
    computing = (pid, *children_of(pid))
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for each in computing:
        await until_gone(each, 1.0)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_crash_in_mid_work_costs_that_job_only(
    open_bench: OpenBench, long_recording: Path, samples: Path, number: signal.Signals
) -> None:
    bench = open_bench()
    task = await begin_long_work(bench, long_recording)
    os.kill(bench.pool.pids[0], number)
    with pytest.raises(EngineCrashed, match=number.name):
        await task
    assert (await bench.hear(samples / "jfk.wav", SPEECH_SECONDS, TINY)).segments


async def test_too_little_memory_fails_the_job_and_nothing_else(open_bench: OpenBench, samples: Path) -> None:
    with pytest.raises((EngineOutOfMemory, EngineCrashed)):
        await open_bench(memory_limit=120 * _MEGABYTE).hear(samples / "jfk.wav", SPEECH_SECONDS, TINY)
    assert (await open_bench().hear(samples / "jfk.wav", SPEECH_SECONDS, TINY)).segments


async def test_an_idle_engine_gives_its_memory_back(open_bench: OpenBench) -> None:
    bench = open_bench(idle_seconds=0.2)
    await bench.engine.warm_up("tiny.en")
    (pid,) = bench.pool.pids
    await until_gone(pid)


async def test_no_text_for_what_was_taken_for_speech_is_a_failure(open_bench: OpenBench, tmp_path: Path) -> None:
    audio = write_silence(tmp_path / "silence.wav", 4.0)
    with pytest.raises(EngineEmptyResult) as caught:
        await open_bench().hear(audio, 4.0, TINY)
    assert isinstance(caught.value, ProviderError)
    assert caught.value.retryable


async def test_no_text_for_a_short_sound_is_an_answer(open_bench: OpenBench, tmp_path: Path) -> None:
    audio = write_silence(tmp_path / "silence.wav", 1.0)
    assert (await open_bench().hear(audio, 1.0, TINY)).segments == ()
