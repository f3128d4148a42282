from __future__ import annotations

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

Wave = NDArray[np.int16]
MakeMedia = Callable[..., Path]

SAMPLES = Path(__file__).parents[3] / "samples"


def _write_video(container: av.container.OutputContainer, stream: av.VideoStream, seconds: float) -> None:
    noise = np.random.default_rng(0)
    for index in range(int(25 * seconds)):
        frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (64, 64, 3), dtype=np.uint8), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


@pytest.fixture
def make_media(tmp_path: Path) -> MakeMedia:
    """Encode mono audio, in a video where `video_seconds` is given, beginning at `delay` seconds."""

    def make(
        name: str,
        codec: str,
        audio: Wave,
        *,
        rate: int = 48_000,
        layout: str = "mono",
        container_format: str | None = None,
        video_seconds: float = 0.0,
        delay: float = 0.0,
        stamp: Callable[[float], float] = lambda seconds: seconds,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", format=container_format) as container:
            video = container.add_stream("mpeg4", rate=25) if video_seconds else None
            if video:
                video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
            stream = container.add_stream(codec, rate=rate, layout=layout)
            assert isinstance(stream, av.AudioStream)
            if video:
                _write_video(container, video, video_seconds)
            resampler = av.AudioResampler(stream.format.name, layout, rate)
            for first in range(0, len(audio), 960):
                frame = av.AudioFrame.from_ndarray(audio[None, first : first + 960], format="s16", layout="mono")
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round((stamp(first / rate) + delay) * rate)
                for converted in resampler.resample(frame):
                    container.mux(stream.encode(converted))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def make_wav(tmp_path: Path) -> Callable[..., Path]:
    """Write 16-bit samples, [n] or [n, channels]."""

    def make(name: str, audio: Wave, rate: int = 16_000) -> Path:
        path = tmp_path / name
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1 if audio.ndim == 1 else audio.shape[1])
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(audio.tobytes())
        return path

    return make


@pytest.fixture(scope="session")
def speech() -> Wave:
    """The 11 s of samples/jfk.wav."""
    with wave.open(str(SAMPLES / "jfk.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.fixture(scope="session")
def reading() -> Wave:
    """The 27 s of samples/austen.flac."""
    with av.open(str(SAMPLES / "austen.flac")) as container:
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]).astype(np.int16)
