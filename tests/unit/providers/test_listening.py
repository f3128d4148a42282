from __future__ import annotations

import wave
from pathlib import Path

import pytest

from v2t.domain.jobs import Chunk, TranscribeOptions
from v2t.domain.ports import EngineResult, OnProgress
from v2t.providers.listening import detect_language


class Ear:
    """An engine that is sure of a language to some degree, and remembers what it was given."""

    name = "ear"

    def __init__(self, probability: float) -> None:
        self.probability = probability
        self.given: list[tuple[float, float, TranscribeOptions]] = []

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        on_progress(1.0)
        with wave.open(str(audio), "rb") as file:
            self.given.append((file.getnframes() / file.getframerate(), chunk.speech_seconds, options))
        return EngineResult((), "de", self.probability, 0.0)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "0.wav"
    write_silence(path, 45.0)
    return path


def write_silence(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(round(seconds * 32_000)))


async def test_half_a_minute_is_listened_to_by_the_model_of_the_job(audio: Path) -> None:
    ear = Ear(0.9)
    assert await detect_language(ear, audio, "small") == "de"
    assert ear.given == [(30.0, 30.0, TranscribeOptions("ear", "small"))]
    assert list(audio.parent.iterdir()) == [audio]


async def test_a_short_recording_is_listened_to_in_full(audio: Path) -> None:
    write_silence(audio, 1.5)
    ear = Ear(0.5)
    assert await detect_language(ear, audio, "base") == "de"
    assert ear.given[0][:2] == (1.5, 1.5)


async def test_a_language_that_is_less_likely_than_not_is_none(audio: Path) -> None:
    assert await detect_language(Ear(0.49), audio, "base") == ""
