"""Voice activity: the probability of speech in each 32 ms of audio, by Silero VAD v6.

The network is https://github.com/snakers4/silero-vad (MIT licence, see NOTICE), in the form that takes many
frames in one call and hands its recurrent state back. It runs about 550 times faster than real time on one core;
neither graph optimisation levels, batch sizes of 64 to 512 frames nor flushing denormals change that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from v2t.media.silence import find_runs

FRAME_SAMPLES = 512
"""Samples in a frame, 32 ms: the only length that the network knows at 16 kHz."""

_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)
_MODEL = Path(__file__).with_name("silero_vad_v6.onnx")

_DEAD_PEAK = 3
"""A frame whose loudest sample is no louder, -80 dBFS, cannot hold speech that any engine understands."""

_LONGEST_DEAD_RUN = 94
_LEAD_FRAMES = 16
"""Dead frames that the network is still given after a sound, 3 s, and before the next one, half a second. Those
between are skipped, and it starts afresh behind them: a minute of digital silence leaves it in a state that misses
a quarter of the speech that follows (measured)."""

_QUIET_PEAK = 0.1
_MAX_GAIN = 30.0
"""A block that stays below -20 dBFS is raised to it, by at most 30 dB: without this, speech recorded at
-50 dBFS loses two thirds of its frames."""


@dataclass(frozen=True, slots=True)
class Frames:
    """What was measured in consecutive frames: speech probability 0 to 1, and peak level in dBFS, -96 at least."""

    probabilities: NDArray[np.float32]
    levels: NDArray[np.float32]


class VoiceDetector:
    """Listens to one stream, block after block, with the memory of what came before."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(_MODEL), options, providers=["CPUExecutionProvider"])
        self._state = (np.zeros(_STATE_SHAPE, np.float32), np.zeros(_STATE_SHAPE, np.float32))
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._dead_frames = 0

    def listen(self, samples: NDArray[np.int16]) -> Frames:
        """Measure the next block; its last frame is filled up with silence, so only the last block may be uneven."""
        count = -(-len(samples) // FRAME_SAMPLES)
        frames = np.zeros((count, FRAME_SAMPLES), np.int16)
        frames.reshape(-1)[: len(samples)] = samples
        peaks = np.maximum(frames.max(axis=1).astype(np.int32), -frames.min(axis=1).astype(np.int32))
        levels = 20 * np.log10(np.maximum(peaks, 0.5) / 32768).astype(np.float32)
        probabilities = np.zeros(count, np.float32)
        was_skipping = self._dead_frames > _LONGEST_DEAD_RUN
        alive = self._find_alive(peaks)
        if alive.any():
            gain = min(_MAX_GAIN, max(1.0, _QUIET_PEAK * 32768 / max(1, int(peaks.max()))))
            waves = np.empty((count, _CONTEXT_SAMPLES + FRAME_SAMPLES), np.float32)
            waves[:, _CONTEXT_SAMPLES:] = frames * np.float32(gain / 32768)
            waves[0, :_CONTEXT_SAMPLES] = self._context
            waves[1:, :_CONTEXT_SAMPLES] = waves[:-1, -_CONTEXT_SAMPLES:]
            self._context = waves[-1, -_CONTEXT_SAMPLES:].copy()
            for first, end in find_runs(alive):
                probabilities[first:end] = self._run(waves[first:end], afresh=first > 0 or was_skipping)
        return Frames(probabilities, levels)

    def _run(self, waves: NDArray[np.float32], *, afresh: bool) -> NDArray[np.float32]:
        hidden, cell = (np.zeros(_STATE_SHAPE, np.float32),) * 2 if afresh else self._state
        found, *state = self._session.run(None, {"input": waves, "h": hidden, "c": cell})
        self._state = (state[0], state[1])
        return np.asarray(found, np.float32)

    def _find_alive(self, peaks: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which frames the network must hear: all but those deep inside dead silence."""
        positions = np.arange(len(peaks))
        sound = peaks > _DEAD_PEAK
        since = positions - np.maximum.accumulate(np.where(sound, positions, -1 - self._dead_frames))
        until = np.minimum.accumulate(np.where(sound, positions, 2 * len(peaks))[::-1])[::-1] - positions
        if len(peaks):
            self._dead_frames = int(since[-1])
        return np.asarray((since <= _LONGEST_DEAD_RUN) | (until <= min(_LEAD_FRAMES, len(peaks))))
