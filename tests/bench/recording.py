"""Long recordings of real speech with known text: the clips of `samples/` again and again, in changing order."""

from __future__ import annotations

import random
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

SAMPLES = Path(__file__).parents[2] / "samples"
SAMPLE_RATE = 16_000
_NAMES = ("jfk.wav", "austen.flac")


@dataclass(frozen=True)
class Recording:
    path: Path
    seconds: float
    text: str


def make_recording(path: Path, seconds: float, seed: int = 1, pauses: Sequence[float] = (0.5,)) -> Recording:
    """Write a 16 kHz mono WAV of about `seconds`: whole clips with pauses between, so that its text is exact."""
    clips = [(_decode(SAMPLES / f"{name}"), (SAMPLES / name).with_suffix(".txt").read_text()) for name in _NAMES]
    order = random.Random(seed)
    texts: list[str] = []
    written = 0
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        while written < seconds * SAMPLE_RATE:
            for samples, text in order.sample(clips, len(clips)):
                pause = np.zeros(int(order.choice(pauses) * SAMPLE_RATE), np.int16)
                file.writeframes(samples.tobytes() + pause.tobytes())
                texts.append(" ".join(text.split()))
                written += len(samples) + len(pause)
    return Recording(path, written / SAMPLE_RATE, " ".join(texts))


def _decode(path: Path) -> npt.NDArray[np.int16]:
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
    with av.open(str(path)) as container:
        blocks = [
            block.to_ndarray().reshape(-1) for frame in container.decode(audio=0) for block in resampler.resample(frame)
        ]
        blocks += [block.to_ndarray().reshape(-1) for block in resampler.resample(None)]
    return np.concatenate(blocks).astype(np.int16)
