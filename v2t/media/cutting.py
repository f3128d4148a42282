"""The job that runs in the confined child: decode a window of a file, find speech, write chunks for the engines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from v2t.domain.jobs import SAMPLE_RATE
from v2t.media.decode import Block, Samples, open_audio
from v2t.media.silence import ChunkPlan, Span, chunk_lengths, find_speech, plan_chunk
from v2t.media.voice import FRAME_SAMPLES, VoiceDetector
from v2t.media.wav import write_wav

_WARM_UP_SAMPLES = 8 * SAMPLE_RATE
"""What the detector hears before a window, so that it judges as if it had heard everything before."""


@dataclass(frozen=True, slots=True)
class Window:
    """What to cut; times in seconds on the source's timeline, `slots` engines share the chunks of the file."""

    source: str
    folder: str
    start: float
    window_seconds: float
    first_index: int
    slots: int
    target_seconds: float
    max_seconds: float


def cut_window(payload: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Cut the audio from `start` up to the first cut that lies `window_seconds` later and has a chunk before it.

    The file is decoded from its beginning each time: decoding is cheap, and seeking loses the true sample offset.
    A window without speech goes on until it has a chunk, so that hours of silence take one window.

    Args:
        payload: the fields of `Window`.
        emit: called with `{"progress": 0..1}` for each 16 s decoded.

    Returns:
        The fields of `v2t.domain.jobs.Cut`; a chunk is `{"index", "pieces", "last_round"}`, a piece or silence
        `[start, length]`. Chunk `index` stands in `folder/<index>.wav`. Pieces and silences tile the time from the
        window's start (from zero in the first) to `next_start` to the sample.

    Raises:
        AudioError: the file cannot be transcribed.
        StorageFull, StorageUnwritable: a chunk could not be written; no part of it is left.
    """
    started = time.monotonic()
    window = Window(**payload)
    with open_audio(Path(window.source), max_seconds=window.max_seconds) as audio:
        cutter = _Cutter(window, audio.declared_seconds)
        finished = False
        for block in audio.blocks():
            cutter.hear(block, audio.offset)
            emit({"progress": cutter.progress})
            if cutter.cut(final=False):
                break
        else:
            cutter.cut(final=True)
            finished = True
        return {
            "chunks": cutter.chunks,
            "silences": [_seconds(span) for span in cutter.silences],
            "next_start": min(cutter.region_start, cutter.heard_end) / SAMPLE_RATE,
            "finished": finished,
            "duration_seconds": cutter.heard_end / SAMPLE_RATE if finished else audio.declared_seconds,
            "offset_seconds": audio.offset / SAMPLE_RATE,
            "decode_seconds": time.monotonic() - started,
            "warnings": list(audio.warnings()) if finished else [],
        }


def warm_up(_payload: dict[str, Any], _emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Do nothing but have this module, and so the decoder and the voice detector, loaded."""
    VoiceDetector()
    return {}


class _Cutter:
    """Keeps the region that is decoded but not yet cut: at most ten minutes. Positions are in samples."""

    def __init__(self, window: Window, declared_seconds: float) -> None:
        self.chunks: list[dict[str, Any]] = []
        self.silences: list[Span] = []
        self.region_start = 0
        self.heard_end = 0
        self._window = window
        self._declared_seconds = declared_seconds
        self._lengths = chunk_lengths(declared_seconds, window.slots, window.target_seconds)
        self._detector = VoiceDetector()
        self._speaking = False
        self._samples: Samples = np.zeros(0, np.int16)
        self._probabilities = np.zeros(0, np.float32)
        self._levels = np.zeros(0, np.float32)

    @property
    def progress(self) -> float:
        """The part of the window that is decoded, 0 to 1."""
        end = self._window.start + self._window.window_seconds
        if self._declared_seconds > self._window.start:
            end = min(end, self._declared_seconds)
        return min(1.0, self.heard_end / (end * SAMPLE_RATE)) if end > 0 else 1.0

    def hear(self, block: Block, offset: int) -> None:
        """Add a block to the region, as far as it lies in the window; `offset` is where the file's audio begins."""
        if not self.heard_end:
            self._begin(offset)
        self.heard_end = block.start + len(block.samples)
        begin = self.region_start
        if self.heard_end <= begin - _WARM_UP_SAMPLES:
            return
        frames = self._detector.listen(block.samples)
        before = min(len(frames.levels), max(0, begin - block.start) // FRAME_SAMPLES)
        if before:
            self._speaking = bool(find_speech(frames.probabilities[:before], speaking=self._speaking)[-1])
        self._samples = np.concatenate((self._samples, block.samples[before * FRAME_SAMPLES :]))
        self._probabilities = np.concatenate((self._probabilities, frames.probabilities[before:]))
        self._levels = np.concatenate((self._levels, frames.levels[before:]))

    def cut(self, *, final: bool) -> bool:
        """Cut what can be cut well; with `final`, everything. Returns whether the window is complete."""
        end = self._window.start + self._window.window_seconds
        while len(self._probabilities):
            plan = plan_chunk(
                self._probabilities,
                self._levels,
                seconds=self._lengths.next_seconds(self.region_start / SAMPLE_RATE),
                final=final,
                speaking=self._speaking,
            )
            if plan is None:
                break
            self._apply(plan)
            if not final and self.chunks and self.region_start >= end * SAMPLE_RATE:
                return True
        return False

    def _begin(self, offset: int) -> None:
        """Set the region's start: on the detector's grid, which `next_start` never leaves."""
        frames = round((self._window.start * SAMPLE_RATE - offset) / FRAME_SAMPLES)
        self.region_start = offset + max(0, frames) * FRAME_SAMPLES
        if offset and frames <= 0:
            self.silences.append((0, offset))

    def _apply(self, plan: ChunkPlan) -> None:
        pieces = [self._locate(span) for span in plan.pieces]
        if pieces:
            last_round = self._lengths.is_last_round(self.region_start / SAMPLE_RATE)
            index = self._window.first_index + len(self.chunks)
            start = self.region_start
            parts = [self._samples[first - start : end - start] for first, end in pieces]
            write_wav(Path(self._window.folder) / f"{index}.wav", parts)
            located = [_seconds(piece) for piece in pieces]
            self.chunks.append({"index": index, "pieces": located, "last_round": last_round})
        for first, end in map(self._locate, plan.silences):
            joins = bool(self.silences) and self.silences[-1][1] == first
            self.silences.append((self.silences.pop()[0] if joins else first, end))
        consumed = plan.consumed * FRAME_SAMPLES
        self.region_start = min(self.region_start + consumed, self.heard_end)
        self._samples = self._samples[consumed:]
        self._probabilities = self._probabilities[plan.consumed :]
        self._levels = self._levels[plan.consumed :]
        self._speaking = plan.speaking

    def _locate(self, span: Span) -> Span:
        """Where frames of the region stand in the source, in samples; the very last frame may be short."""
        first, end = (self.region_start + frame * FRAME_SAMPLES for frame in span)
        return first, min(end, self.heard_end)


def _seconds(span: Span) -> list[float]:
    first, end = span
    return [first / SAMPLE_RATE, (end - first) / SAMPLE_RATE]
