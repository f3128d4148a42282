"""Long recordings of real speech with known text, made from the samples: each clip again and again, in changing order."""

from __future__ import annotations

import random
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

SAMPLES = Path(__file__).parents[2] / "samples"
SAMPLE_RATE = 16_000
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Recording:
    path: Path
    seconds: float
    text: str


def make_recording(path: Path, seconds: float, seed: int = 1) -> Recording:
    """Write a 16 kHz mono WAV of about `seconds`: whole clips only, so that its text is exact."""
    clips = [(_decode(SAMPLES / f"{name}"), (SAMPLES / name).with_suffix(".txt").read_text()) for name in _NAMES]
    pause = np.zeros(int(_PAUSE_SECONDS * SAMPLE_RATE), np.int16)
    order = random.Random(seed)
    texts: list[str] = []
    written = 0
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        while written < seconds * SAMPLE_RATE:
            for samples, text in order.sample(clips, len(clips)):
                file.writeframes(samples.tobytes() + pause.tobytes())
                texts.append(" ".join(text.split()))
                written += len(samples) + len(pause)
    return Recording(path, written / SAMPLE_RATE, " ".join(texts))


_NAMES = ("jfk.wav", "austen.flac")


def _decode(path: Path) -> np.ndarray:
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
    with av.open(str(path)) as container:
        blocks = [
            block.to_ndarray().reshape(-1) for frame in container.decode(audio=0) for block in resampler.resample(frame)
        ]
        blocks += [block.to_ndarray().reshape(-1) for block in resampler.resample(None)]
    return np.concatenate(blocks)
