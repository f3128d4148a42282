"""Decide where speech is and where to cut, from speech probabilities. Pure: all numbers count 32 ms frames.

A plan is made for one chunk at a time from a region of frames that begins where the last chunk ended, so a file
of any length is planned in constant memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 31.25
"""512 samples at 16 kHz."""

_ONSET, _OFFSET = 0.5, 0.35
"""Speech begins at the first and lasts until below the second, as Silero's own `get_speech_timestamps`."""

_SHORTEST_SPEECH = 3  # 0.1 s: what is shorter is a click
_PADDING = 12  # 0.4 s kept on both sides of speech: soft consonants come before what the network hears
_LONGEST_KEPT_GAP = 64  # 2 s: engines bridge such pauses well; longer ones cost time and invite invented text
_LONGEST_KEPT_EDGE = _LONGEST_KEPT_GAP // 2  # what a cut in the middle of such a gap leaves at each side

_EARLIEST, _LATEST = 0.6, 1.15  # where a chunk may end, in parts of the wished length
_EARLY, _LATE = 0.85, 1.1  # where it should
_GOOD_PAUSE = 10  # 0.3 s: between phrases
_SHORTEST_PAUSE = 4  # 0.1 s: between words
_MOST_REGION_SECONDS = 500.0  # a chunk of rare speech ends after this much source

SHORTEST_CHUNK_SECONDS = 28.0
"""Whisper hears windows of 30 s: shorter chunks cost as much (Radford et al. 2022, section 2.2)."""

Probabilities = NDArray[np.float32]
Mask = NDArray[np.bool_]
Span = tuple[int, int]
"""First frame, and the frame after the last."""


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """What to do with the first `consumed` frames of a region: `pieces` form a chunk, `silences` are left out.

    Together they tile the consumed frames. Without pieces there is no chunk. `speaking` tells whether the cut
    had to go through speech.
    """

    pieces: tuple[Span, ...]
    silences: tuple[Span, ...]
    consumed: int
    speaking: bool


@dataclass(frozen=True, slots=True)
class ChunkLengths:
    """How long the chunks of a file should be: `whole` of them `seconds` long, those that follow half as long."""

    seconds: float
    whole: float = math.inf

    def is_last_round(self, start_seconds: float) -> bool:
        """Whether the chunk that begins at `start_seconds` is one of the shorter ones."""
        return round(start_seconds / self.seconds) >= self.whole

    def next_seconds(self, start_seconds: float) -> float:
        """The wished length of the chunk that begins at `start_seconds`.

        It ends at the next multiple of the length there, so that cuts that came early or late do not add up.
        """
        length = self.seconds / 2 if self.is_last_round(start_seconds) else self.seconds
        end = (round(start_seconds / length) + 1) * length
        return max(SHORTEST_CHUNK_SECONDS, end - start_seconds)


def chunk_lengths(total_seconds: float, slots: int, target_seconds: float) -> ChunkLengths:
    """The lengths that keep all slots busy to the end; the target when the total is unknown (0).

    Chunks come in rounds of one per slot; the fewest rounds with chunks up to the target are taken. As chunks of one
    length take different times, the last of several rounds is cut in halves: slots then wait half as long for the
    others ("factoring": Hummel, Schonberg, Flynn 1992).
    """
    if total_seconds <= 0:
        return ChunkLengths(target_seconds)
    rounds = math.ceil(total_seconds / (slots * target_seconds))
    chunks = max(1, min(slots * rounds, math.floor(total_seconds / SHORTEST_CHUNK_SECONDS)))
    seconds = max(SHORTEST_CHUNK_SECONDS, total_seconds / chunks)
    halves = slots > 1 and rounds > 1 and seconds / 2 >= SHORTEST_CHUNK_SECONDS
    return ChunkLengths(seconds, chunks - slots if halves else math.inf)


def find_speech(probabilities: Probabilities, *, speaking: bool = False) -> Mask:
    """Which frames are speech; `speaking` when the frame before the first was."""
    decisions = np.where(probabilities >= _ONSET, 1, np.where(probabilities < _OFFSET, -1, 0))
    decided = np.maximum.accumulate(np.where(decisions != 0, np.arange(len(decisions)), -1))
    speech = np.where(decided >= 0, decisions[decided] > 0, speaking)
    for first, end in find_runs(speech):
        if end - first < _SHORTEST_SPEECH and not (first == 0 and speaking) and end < len(speech):
            speech[first:end] = False
    return speech


def plan_chunk(
    probabilities: Probabilities,
    levels: NDArray[np.float32],
    *,
    seconds: float,
    final: bool,
    speaking: bool = False,
) -> ChunkPlan | None:
    """Plan the next chunk from the frames that are known so far.

    Args:
        probabilities: of speech, one for each frame of the region.
        levels: loudness of the same frames in dBFS; decides where no pause is found.
        seconds: the wished length of the chunk.
        final: the region reaches the end of the audio.
        speaking: the region begins within speech.

    Returns:
        The plan, or None when more frames are needed to choose well.
    """
    count = len(probabilities)
    speech = find_speech(probabilities, speaking=speaking)
    if not speech.any():
        # the last frames may be the padding of speech that is still to come
        consumed = count if final else count - _LONGEST_KEPT_EDGE - 1
        return ChunkPlan((), ((0, consumed),), consumed, speaking=False) if consumed > 0 else None
    kept = _keep(speech)
    fullness = _fullness(kept, seconds)
    if fullness[-1] > _LATEST:
        cut = _choose_cut(speech, probabilities, levels, fullness)
    elif final:
        cut = count
    else:
        return None
    return ChunkPlan(
        pieces=tuple(find_runs(kept[:cut])),
        silences=tuple(find_runs(~kept[:cut])),
        consumed=cut,
        speaking=bool(speech[cut - 1]) and cut < count,
    )


def _keep(speech: Mask) -> Mask:
    """Speech with its padding and the short pauses within it."""
    kept = speech.copy()
    count = len(speech)
    for first, end in find_runs(~speech):
        at_edge = first == 0 or end == count
        if end - first <= (_LONGEST_KEPT_EDGE if at_edge else _LONGEST_KEPT_GAP):
            kept[first:end] = True
            continue
        if first > 0:
            kept[first : first + _PADDING] = True
        if end < count:
            kept[end - _PADDING : end] = True
    return kept


def _fullness(kept: Mask, seconds: float) -> NDArray[np.float64]:
    """How full a chunk is that ends after each frame; 1 is as wished.

    Measured in source time, so that chunks end in step with the rest of the file, yet a chunk of rare speech goes
    on until it is worth an engine's window.
    """
    source = np.arange(1, len(kept) + 1) / FRAMES_PER_SECOND
    audio = np.cumsum(kept) / FRAMES_PER_SECOND
    enough = np.minimum(source / seconds, audio / SHORTEST_CHUNK_SECONDS)
    return np.asarray(np.maximum(enough, source / _MOST_REGION_SECONDS))


def _choose_cut(
    speech: Mask, probabilities: Probabilities, levels: NDArray[np.float32], fullness: NDArray[np.float64]
) -> int:
    """The middle of the best pause where a chunk may end; where there is none, of the quietest tenth of a second."""
    pauses = []
    first_allowed, last_allowed = (int(np.searchsorted(fullness, limit)) for limit in (_EARLIEST, _LATEST))
    for first, end in find_runs(~speech):
        if end - first >= _SHORTEST_PAUSE:
            middle = min(max((first + end) // 2, first_allowed), last_allowed)
            # of a pause that is left out anyway, both sides must keep enough to be left out
            margin = min((end - first) // 2, _LONGEST_KEPT_EDGE + 1)
            if first + margin <= middle <= end - margin:
                pauses.append((middle, min(end - first, _LONGEST_KEPT_GAP)))
    good = [pause for pause in pauses if pause[1] >= _GOOD_PAUSE and _EARLY <= fullness[pause[0] - 1] <= _LATE]
    if good or pauses:
        return max(good or pauses, key=lambda pause: (pause[1], -abs(float(fullness[pause[0] - 1]) - 1)))[0]
    window = slice(first_allowed, last_allowed + 1)
    # full scale of probability weighs as much as 60 dB, the range of speech
    presence = probabilities[window] + levels[window] / 60
    quiet = np.convolve(presence, np.ones(_SHORTEST_PAUSE), mode="valid")
    return first_allowed + int(np.argmin(quiet)) + _SHORTEST_PAUSE // 2 if len(quiet) else last_allowed


def find_runs(mask: Mask) -> list[Span]:
    """The runs of true frames."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]
