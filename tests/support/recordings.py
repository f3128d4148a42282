"""Recordings made for a test: real containers and codecs, written by PyAV."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
Samples = NDArray[np.int16]


def read_wav(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def decode(path: Path) -> Samples:
    """Any recording as 16 kHz mono samples."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [done for frame in container.decode(audio=0) for done in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def write_audio(path: Path, samples: Samples, codec: str, *, seconds_each: float = 60.0, times: int = 1) -> Path:
    """Write 16 kHz mono samples, `times` over, in the container that the name's ending says."""
    step = round(seconds_each * SAMPLE_RATE)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        position = 0
        for _ in range(times):
            for start in range(0, len(samples), step):
                block = samples[start : start + step]
                frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
                frame.sample_rate = SAMPLE_RATE
                frame.pts, frame.time_base = position, Fraction(1, SAMPLE_RATE)
                position += len(block)
                for packet in stream.encode(frame):
                    container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def write_wav(path: Path, samples: Samples, *, rate: int = SAMPLE_RATE, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def write_silent_video(path: Path) -> Path:
    """A second of pictures without a sound track."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def tile(clips: Sequence[Samples], seconds: float, pause_seconds: float = 0.5) -> Samples:
    """Clips one after the other with pauses, again and again, for at least so long."""
    pause = np.zeros(round(pause_seconds * SAMPLE_RATE), np.int16)
    one_round = np.concatenate([part for clip in clips for part in (clip, pause)])
    rounds = int(-(-seconds * SAMPLE_RATE // len(one_round)))
    return np.tile(one_round, rounds)
