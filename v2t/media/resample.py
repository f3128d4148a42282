"""Bring decoded frames of any rate and channel layout to 16 kHz mono 16-bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from v2t.domain.errors import AudioRefused
from v2t.domain.jobs import SAMPLE_RATE

_RATES_HERTZ = range(1_000, 768_001)
_MAX_CHANNELS = 64
_MAX_MIXED_CHANNELS = 8
"""Up to here FFmpeg has a downmix matrix for every default layout (ITU-R BS.775); beyond, channels are averaged."""


class Resampler:
    """FFmpeg's resampler, renewed when the audio's format changes in the middle of a stream."""

    def __init__(self) -> None:
        self._resampler: AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None

    def feed(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        """Yield the samples that are ready after `frame`.

        Raises:
            AudioRefused: a rate or number of channels that no recording has.
        """
        channels = frame.layout.nb_channels
        if frame.sample_rate not in _RATES_HERTZ:
            raise AudioRefused(f"a sample rate of {frame.sample_rate} Hz is not audio; convert the file to 16 kHz")
        if channels > _MAX_CHANNELS:
            raise AudioRefused(f"{channels} channels are more than {_MAX_CHANNELS}; mix the file down first")
        if channels > _MAX_MIXED_CHANNELS:
            frame = _average(frame)
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            yield from self.drain()
            self._shape = shape
        if self._resampler is None:
            self._resampler = AudioResampler("s16", "mono", SAMPLE_RATE)
        frame.pts = None  # time is kept by counting; a jump in stamps must not reach the filter
        for output in self._resampler.resample(frame):
            yield _samples(output)

    def drain(self) -> Iterator[NDArray[np.int16]]:
        """Yield what is still inside; the next frame starts afresh."""
        resampler, self._resampler = self._resampler, None
        if resampler is not None:
            for output in resampler.resample(None):
                if output is not None:
                    yield _samples(output)


def _samples(frame: AudioFrame) -> NDArray[np.int16]:
    return frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)


def _average(frame: AudioFrame) -> AudioFrame:
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    scale, bias = _range(values.dtype)
    mixed = ((values.astype(np.float32) - bias) / scale).mean(axis=0, keepdims=True).astype(np.float32)
    result = AudioFrame.from_ndarray(np.ascontiguousarray(mixed), format="fltp", layout="mono")
    result.sample_rate = frame.sample_rate
    return result


def _range(kind: np.dtype[np.generic]) -> tuple[float, float]:
    """Full scale and zero level of a sample type: unsigned 8-bit audio is silent at 128."""
    if kind.kind == "f":
        return 1.0, 0.0
    if kind.kind == "u":
        return 128.0, 128.0
    return float(np.iinfo(kind.name).max), 0.0
