"""Decode any media to 16 kHz mono 16-bit samples that stand at their true time, in constant memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.format import Flags
from numpy.typing import NDArray

from v2t.domain.errors import AudioRefused, EmptyInput, InputUnreadable, NotAudio
from v2t.domain.jobs import SAMPLE_RATE
from v2t.media.container import Media, open_media
from v2t.media.resample import Resampler

BLOCK_SAMPLES = 512 * 512
"""Samples in a block, 16.4 s: 512 frames of the voice activity detector."""

MAX_SECONDS = 360_000.0
"""The longest audio that is decoded by default: 100 hours."""

_JUMP_SECONDS = 0.05
"""Stamps that differ by more than this from the count of samples are believed instead of the count."""

_MAX_GAP_SECONDS = 3600.0
"""A longer jump forward is a wrong stamp, not a pause."""

_MAX_RESET_SECONDS = 10.0
"""The same for a jump back, and for any jump in a format whose clock may be reset: FFmpeg's `dts_delta_threshold`."""

_MAX_READ_ERRORS = 100

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive samples; `start` is the first one's position on the timeline, in samples."""

    start: int
    samples: Samples


@contextlib.contextmanager
def open_audio(path: Path, *, max_seconds: float = MAX_SECONDS) -> Iterator[Decoder]:
    """Open media for decoding. Raises what `open_media` raises."""
    with open_media(path) as media:
        yield Decoder(media, max_seconds)


class Decoder:
    """The audio of one file as a single pass of blocks.

    Time zero is where players show it. `offset` is where the audio begins, in samples: known from the first block on.
    """

    def __init__(self, media: Media, max_seconds: float = MAX_SECONDS) -> None:
        self.offset = 0
        self.declared_seconds = media.declared_seconds  # as the container says or FFmpeg estimates; 0 when unknown
        self._media = media
        self._max_seconds = max_seconds
        resets = Flags.ts_discont in Flags(media.container.format.flags)
        self._max_gap_seconds = _MAX_RESET_SECONDS if resets else _MAX_GAP_SECONDS
        self._origin_seconds = media.origin_seconds
        self._resampler = Resampler()
        self._position = 0  # samples given out, counted from time zero
        self._clock: float | None = None  # where the next frame should stand, in seconds; None before the first
        self._shift = 0.0  # seconds added to stamps since the file's clock was reset
        self._excess = 0  # samples still to drop because they overlap those already given out
        self._packets = 0
        self._damaged_packets = 0
        self._resets = 0

    def blocks(self) -> Iterator[Block]:
        """Decode everything; every block but the last has `BLOCK_SAMPLES`, and each begins where the last ended.

        Raises:
            EmptyInput: there is no sample.
            NotAudio: nothing but damage.
            AudioRefused: longer than allowed, or an absurd rate or number of channels.
            InputUnreadable: the disk failed.
        """
        block, filled, start = np.empty(BLOCK_SAMPLES, np.int16), 0, -1
        for samples in self._timeline():
            start = self.offset if start < 0 else start
            taken = 0
            while taken < len(samples):
                length = min(len(samples) - taken, BLOCK_SAMPLES - filled)
                block[filled : filled + length] = samples[taken : taken + length]
                taken += length
                filled += length
                if filled == BLOCK_SAMPLES:
                    yield Block(start, block)
                    block, filled, start = np.empty(BLOCK_SAMPLES, np.int16), 0, start + BLOCK_SAMPLES
        if filled:
            yield Block(start, block[:filled])
        if start < 0:
            if self._damaged_packets:
                raise NotAudio("the audio is damaged beyond use; pass an intact copy")
            raise EmptyInput("the file has an audio track without audio; check that the recording is complete")

    def warnings(self) -> tuple[str, ...]:
        """What went wrong and was survived, one line each; complete after the last block."""
        found = []
        if self._damaged_packets:
            found.append(f"{self._damaged_packets} of {self._packets} audio packets are damaged and were skipped")
        if self._resets:
            found.append(f"the file's clock jumps {self._resets} times; times after a jump may be shifted")
        end, promised = self._position / SAMPLE_RATE, self._media.promised_seconds
        if promised - end > max(1.0, 0.02 * promised):
            found.append(f"the file ends early: {end:.1f} s of {promised:.1f} s could be decoded")
        return tuple(found)

    def _timeline(self) -> Iterator[Samples]:
        """Resampled audio without gaps or overlaps, in small pieces."""
        for frame in self._frames():
            stamp = self._stamp(frame)
            if self._clock is None:
                self.offset = self._position = round(stamp * SAMPLE_RATE)
            elif abs(stamp - self._clock) > _JUMP_SECONDS:
                yield from self._give(self._resampler.drain())
                missing = round(stamp * SAMPLE_RATE) - self._position
                self._excess = max(0, -missing)
                yield from self._silence(missing)
            else:
                stamp = self._clock
            yield from self._give(self._resampler.feed(frame))
            self._clock = stamp + frame.samples / frame.sample_rate
        yield from self._give(self._resampler.drain())

    def _stamp(self, frame: AudioFrame) -> float:
        """Where a frame stands on the timeline, in seconds; a clock that was reset runs on."""
        if frame.time is None:
            return self._clock or 0.0
        if self._origin_seconds is None:
            self._origin_seconds = frame.time
        stamp = frame.time - self._origin_seconds + self._shift
        expected = self._clock or 0.0
        first_is_early = self._clock is None and stamp < 0
        if first_is_early or not -_MAX_RESET_SECONDS <= stamp - expected <= self._max_gap_seconds:
            self._resets += not first_is_early
            self._shift += expected - stamp
            return expected
        return stamp

    def _silence(self, count: int) -> Iterator[Samples]:
        while count > 0:
            length = min(count, BLOCK_SAMPLES)
            yield from self._give(iter([np.zeros(length, np.int16)]))
            count -= length

    def _give(self, pieces: Iterator[Samples]) -> Iterator[Samples]:
        for piece in pieces:
            samples = piece[self._excess :]
            self._excess -= len(piece) - len(samples)
            self._position += len(samples)
            if self._position > self._max_seconds * SAMPLE_RATE:
                hours = self._max_seconds / 3600
                raise AudioRefused(f"the audio is longer than {hours:g} hours; split it into shorter files")
            if len(samples):
                yield samples

    def _frames(self) -> Iterator[AudioFrame]:
        """Decoded frames; damage is counted and skipped, a read error is retried past."""
        media = self._media
        for _ in range(_MAX_READ_ERRORS):
            try:
                for packet in media.container.demux(media.stream):
                    yield from self._decode(packet)
            except av.error.FFmpegError:
                self._damaged_packets += 1
                self._packets += 1
            except OSError as error:
                raise InputUnreadable(f"the audio file cannot be read: {error.strerror}") from error
            else:
                return

    def _decode(self, packet: av.Packet[av.AudioStream]) -> list[AudioFrame]:
        self._packets += packet.size > 0
        try:
            return packet.decode()
        except av.error.FFmpegError:
            self._damaged_packets += packet.size > 0
            return []
