from __future__ import annotations

import math
import wave
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import ConfigurationError, EngineCrashed, EngineEmptyResult
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.transcript import Segment, Word
from v2t.process.pool import ChildPool
from v2t.providers import engine as engine_module
from v2t.providers.engine import LocalEngine, as_answer, loaded_model, read_samples
from v2t.providers.engine_probe import Probe
from v2t.providers.engines import Engines
from v2t.providers.whisper_cpp import WhisperCpp

SEGMENT = Segment(0.0, 1.0, "hello", (Word("hello", 0.0, 1.0, 0.9),), 0.9)
_GIGABYTE = 1024**3


class RecordingPool:
    """Stands for a ChildPool: notes what it is asked, answers as an engine does."""

    def __init__(self) -> None:
        self.payload: dict[str, Any] = {}
        self.sizes: dict[str, Any] = {}

    async def run(self, job: str, payload: dict[str, Any], on_event: Any, **sizes: Any) -> dict[str, Any]:
        self.payload, self.sizes = payload, {"job": job, **sizes}
        on_event({"progress": 0.5})
        return as_answer([SEGMENT], "en", 0.9, 1.5, must_have_text=False)


class Engine(LocalEngine):
    name = "whisper_cpp"
    model_format = "ct2"
    job = "module:function"


async def locate(model: str, model_format: str) -> Path:
    return Path("/models") / model_format / model


@pytest.fixture
def pool() -> RecordingPool:
    return RecordingPool()


def make_engine(pool: RecordingPool, needed: int = 100, **options: Any) -> Engine:
    return Engine(cast("ChildPool", pool), locate, lambda _name, _format: needed, **options)


@pytest.fixture(autouse=True)
def _no_model() -> Iterator[None]:
    engine_module._loaded = ("", None)
    yield
    engine_module._loaded = ("", None)


async def test_a_job_gets_the_model_the_audio_and_the_options(pool: RecordingPool) -> None:
    options = TranscribeOptions(model="tiny", language="de", translate=True, prompt="Weimar")
    chunk = Chunk(3, "3.wav", (Piece(60.0, 2.0), Piece(70.0, 2.0)))
    progress: list[float] = []
    result = await make_engine(pool, threads=2, acceleration="cuda", stall_seconds=7.0).transcribe(
        Path("/chunks/3.wav"), chunk, options, progress.append
    )
    assert pool.payload == {
        "model": "/models/ct2/tiny",
        "threads": 2,
        "acceleration": "cuda",
        "audio": "/chunks/3.wav",
        "language": "de",
        "translate": True,
        "prompt": "Weimar",
        "must_have_text": True,
    }
    assert (pool.sizes["job"], pool.sizes["stall_seconds"]) == ("module:function", 7.0)
    assert progress == [0.5]
    assert (result.segments, result.language, result.language_probability, result.engine_seconds) == (
        (SEGMENT,),
        "en",
        0.9,
        1.5,
    )


@pytest.mark.parametrize(("seconds", "must"), [(2.9, False), (3.0, True)])
async def test_only_what_is_surely_speech_must_have_text(pool: RecordingPool, seconds: float, must: bool) -> None:
    chunk = Chunk(0, "0.wav", (Piece(0.0, seconds),))
    await make_engine(pool).transcribe(Path("0.wav"), chunk, TranscribeOptions(), lambda _: None)
    assert pool.payload["must_have_text"] is must


@pytest.mark.parametrize(
    ("needed", "configured", "limit"),
    [(100, 0, _GIGABYTE), (_GIGABYTE, 0, 3 * _GIGABYTE), (_GIGABYTE, 5, 5)],
    ids=["at least a gigabyte", "three times the model", "what the settings say"],
)
async def test_memory_is_limited_by_the_model_or_the_settings(
    pool: RecordingPool, needed: int, configured: int, limit: int
) -> None:
    await make_engine(pool, needed, memory_limit=configured).warm_up("tiny")
    assert (pool.sizes["limit_bytes"], pool.sizes["reserve_bytes"]) == (limit, needed)


async def test_warming_up_loads_the_model_only(pool: RecordingPool) -> None:
    await make_engine(pool).warm_up("tiny")
    assert pool.payload == {"model": "/models/ct2/tiny", "threads": 1, "acceleration": "cpu", "audio": ""}


class DyingPool(RecordingPool):
    """Its children die."""

    async def run(self, job: str, payload: dict[str, Any], on_event: Any, **sizes: Any) -> dict[str, Any]:
        raise EngineCrashed("SIGILL")


async def test_crashes_in_a_row_and_jobs_that_end_well_are_told(pool: RecordingPool) -> None:
    engines = Engines()
    dying, well = (kind_of(each, engines) for each in (DyingPool(), pool))
    for engine in (dying, well, dying):
        with suppress(EngineCrashed):
            await engine.warm_up("tiny")
    assert engines.trouble("whisper_cpp") == ""
    with pytest.raises(EngineCrashed):
        await dying.warm_up("tiny")
    assert engines.trouble("whisper_cpp") == "SIGILL"
    with pytest.raises(ConfigurationError, match="SIGILL"):
        await dying.check()


def kind_of(pool: RecordingPool, engines: Engines) -> WhisperCpp:
    return WhisperCpp(cast("ChildPool", pool), locate, lambda _name, _format: 100, engines=engines)


async def test_an_engine_says_what_it_can_do_and_whether_it_works(pool: RecordingPool) -> None:
    works, broken = Engines(probe=lambda _: Probe("CUDA = 2")), Engines(probe=lambda _: Probe("", "no library"))
    assert kind_of(pool, works).capabilities == Capabilities(words=True, translation=True, streaming=True)
    assert await kind_of(pool, works).check() == "can compute on cpu, cuda"
    with pytest.raises(ConfigurationError, match="no library"):
        await kind_of(pool, broken).check()
    assert await kind_of(pool, Engines(probe=lambda _: Probe(""))).check() == "did not answer in time"
    gone = Engines(("/none/whisper-cli",))
    with pytest.raises(ConfigurationError, match=r"engine\.whisper_cli"):
        await kind_of(pool, gone).check()


def test_a_model_is_loaded_once_and_dropped_before_another() -> None:
    alive: list[str] = []

    class Model:
        def __init__(self, name: str) -> None:
            assert not alive, "two models at once"
            alive.append(name)

        def __del__(self) -> None:
            alive.clear()

    first = loaded_model("a", lambda: Model("a"))
    assert loaded_model("a", lambda: Model("again")) is first
    del first
    loaded_model("b", lambda: Model("b"))
    assert alive == ["b"]


def test_a_model_that_fails_to_load_is_tried_again() -> None:
    with pytest.raises(ZeroDivisionError):
        loaded_model("a", lambda: 1 / 0)
    assert loaded_model("a", lambda: "model") == "model"


def write(path: Path, samples: list[int], *, rate: int = 16_000, channels: int = 1, width: int = 2) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.array(samples, f"<i{width}").tobytes())
    return str(path)


def test_samples_are_scaled_to_floats(tmp_path: Path) -> None:
    samples = read_samples(write(tmp_path / "a.wav", [0, 16384, -32768, 32767]))
    assert samples.dtype == np.float32
    assert samples.tolist() == pytest.approx([0.0, 0.5, -1.0, 32767 / 32768])
    assert samples.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("wrong", [{"rate": 8000}, {"channels": 2}, {"width": 4}])
def test_another_kind_of_wav_is_refused_rather_than_misheard(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is not a 16 kHz mono 16-bit WAV"):
        read_samples(write(tmp_path / "a.wav", [0, 0, 0, 0], **wrong))


def test_an_answer_is_plain_data() -> None:
    answer = as_answer([SEGMENT], "en", 0.9, 1.5, must_have_text=True)
    assert answer["segments"][0]["words"][0]["text"] == "hello"
    assert math.isclose(answer["engine_seconds"], 1.5)


def test_no_text_where_there_must_be_some_is_a_failure() -> None:
    with pytest.raises(EngineEmptyResult):
        as_answer([], "en", 0.9, 1.5, must_have_text=True)
    assert as_answer([], "en", 0.9, 1.5, must_have_text=False)["segments"] == []
