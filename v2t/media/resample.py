"""Bring decoded frames of any rate and channel layout to 16 kHz mono 16-bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.filter.graph import Graph
from numpy.typing import NDArray

from v2t.domain.errors import AudioRefused
from v2t.domain.jobs import SAMPLE_RATE

_RATES_HERTZ = range(1_000, 768_001)
_MAX_CHANNELS = 64
_MAX_MATRIX_CHANNELS = 8
"""Up to here FFmpeg has a downmix matrix for every default layout (ITU-R BS.775); beyond, channels are averaged.
PyAV must not be asked for the planes of such frames: it reads past the end of FFmpeg's table of them."""


class Resampler:
    """FFmpeg's resampler, renewed when the audio's format changes in the middle of a stream."""

    def __init__(self) -> None:
        self._mixer: Graph | None = None
        self._resampler: AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None

    def feed(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        """Yield the samples that are ready after `frame`.

        Raises:
            AudioRefused: a rate or number of channels that no recording has.
        """
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            _validate(frame)
            yield from self.drain()
            self._shape = shape
            self._mixer = _open_mixer(frame) if frame.layout.nb_channels > _MAX_MATRIX_CHANNELS else None
        if self._resampler is None:
            self._resampler = AudioResampler("s16", "mono", SAMPLE_RATE)
        frame.pts = None  # time is kept by counting; a jump in stamps must not reach the filters
        if self._mixer is not None:
            self._mixer.push(frame)
            mixed = self._mixer.pull()
            assert isinstance(mixed, AudioFrame)
            mixed.pts = None
            frame = mixed
        for output in self._resampler.resample(frame):
            yield _samples(output)

    def drain(self) -> Iterator[NDArray[np.int16]]:
        """Yield what is still inside; the next frame starts afresh."""
        resampler, self._resampler = self._resampler, None
        if resampler is not None:
            for output in resampler.resample(None):
                if output is not None:  # what PyAV answers when it had nothing to convert
                    yield _samples(output)


def _validate(frame: AudioFrame) -> None:
    if frame.sample_rate not in _RATES_HERTZ:
        raise AudioRefused(f"a sample rate of {frame.sample_rate} Hz is not audio; convert the file to 16 kHz")
    if frame.layout.nb_channels > _MAX_CHANNELS:
        raise AudioRefused(
            f"{frame.layout.nb_channels} channels are more than {_MAX_CHANNELS}; mix the file down first"
        )


def _open_mixer(frame: AudioFrame) -> Graph:
    """A filter that takes frames like this one and gives the average of their channels."""
    channels = frame.layout.nb_channels
    graph = Graph()
    source = graph.add(
        "abuffer",
        sample_rate=str(frame.sample_rate),
        sample_fmt=frame.format.name,
        channel_layout=frame.layout.name,
        time_base=f"1/{frame.sample_rate}",
    )
    mixer = graph.add("pan", f"mono|c0<{'+'.join(f'c{channel}' for channel in range(channels))}")
    sink = graph.add("abuffersink")
    source.link_to(mixer)
    mixer.link_to(sink)
    graph.configure()
    return graph


def _samples(frame: AudioFrame) -> NDArray[np.int16]:
    return frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)
