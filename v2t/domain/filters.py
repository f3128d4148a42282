"""Drops what an engine made up: text it doubted itself over non-speech, and decoding loops."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from v2t.domain.transcript import DroppedSpan, DropReason, Segment, Word
from v2t.domain.words import PAUSE_SECONDS, divide_text

# openai-whisper, transcribe.py: no_speech_threshold, logprob_threshold, compression_ratio_threshold
_MAX_NO_SPEECH_PROBABILITY = 0.6
_MIN_PROBABILITY = math.exp(-1.0)
_MAX_COMPRESSION_RATIO = 2.4

_LOOP_WORDS = 10  # shorter text is compressed too unevenly to tell a loop from emphasis
_LOOP_SEGMENTS = 4  # a chorus comes two or three times, a loop does not stop

_MIN_WORD_SECONDS = 0.02
"""One Whisper timestamp step (Radford et al. 2022, section 2.3)."""


def filter_segments(segments: Sequence[Segment]) -> tuple[list[Segment], list[DroppedSpan]]:
    """Divide segments, in order of time, into those to keep and the spans of those that are not speech.

    Dropped are segments that the engine took for non-speech and was unsure of, whatever they say; long ones that
    repeat themselves; and of four or more in a row with the same text and no long pause between, all but the first.
    The words that are kept all last at least 20 ms.
    """
    kept: list[Segment] = []
    dropped: list[DroppedSpan] = []
    confident: list[Segment] = []
    for segment in segments:
        if _is_doubtful(segment):
            dropped.append(DroppedSpan(segment.start, segment.end, DropReason.LOW_CONFIDENCE))
        else:
            confident.append(segment)
    for run in _runs(confident):
        first, repeats = (run[:1], run[1:]) if len(run) >= _LOOP_SEGMENTS else (run, [])
        for segment in first:
            (repeats if _is_loop(segment) else kept).append(segment)
        dropped.extend(DroppedSpan(segment.start, segment.end, DropReason.REPETITION) for segment in repeats)
    dropped.sort(key=lambda span: (span.start, span.end))
    return _stretch_words(kept), dropped


def _is_doubtful(segment: Segment) -> bool:
    """openai-whisper's rule for silence; a probability of 0 means that the engine gives none."""
    unsure = 0 < segment.probability < _MIN_PROBABILITY
    return unsure and segment.no_speech_probability > _MAX_NO_SPEECH_PROBABILITY


def _is_loop(segment: Segment) -> bool:
    """openai-whisper's rule for a failed decoding: text that compresses too well."""
    data = segment.text.encode()
    words = len(segment.words) or len(divide_text(segment.text))
    return words >= _LOOP_WORDS and len(data) / len(zlib.compress(data)) > _MAX_COMPRESSION_RATIO


def _runs(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Segments that say the same thing one right after the other."""
    number = 0
    keyed: list[tuple[int, Segment]] = []
    for index, segment in enumerate(segments):
        if index:
            before = segments[index - 1]
            same = _said(segment) == _said(before) and segment.start - before.end <= PAUSE_SECONDS
            number += not same
        keyed.append((number, segment))
    for _, run in groupby(keyed, key=lambda item: item[0]):
        yield [segment for _, segment in run]


def _said(segment: Segment) -> str:
    """What was said, without letter case and punctuation."""
    return "".join(character for character in segment.text.casefold() if character.isalnum())


def _stretch_words(segments: Sequence[Segment]) -> list[Segment]:
    """Give every word a duration: later words give way, and at the very end earlier ones."""
    words = [word for segment in segments for word in segment.words]
    if all(word.end - word.start >= _MIN_WORD_SECONDS for word in words):
        return list(segments)
    stretched = iter(_pull_back(_push_on(words), max(word.end for word in words)))
    result = []
    for segment in segments:
        own = tuple(next(stretched) for _ in segment.words)
        result.append(replace(segment, start=own[0].start, end=own[-1].end, words=own) if own else segment)
    return result


def _push_on(words: Sequence[Word]) -> list[Word]:
    pushed = []
    floor = -math.inf
    for word in words:
        start = max(word.start, floor)
        end = max(word.end, round(start + _MIN_WORD_SECONDS, 3))
        floor = end if end > word.end else -math.inf
        pushed.append(replace(word, start=start, end=end))
    return pushed


def _pull_back(words: Sequence[Word], ceiling: float) -> list[Word]:
    pulled = []
    for word in reversed(words):
        end = min(word.end, ceiling)
        start = max(0.0, min(word.start, round(end - _MIN_WORD_SECONDS, 3)))
        ceiling = start if start < word.start else math.inf
        pulled.append(replace(word, start=start, end=end))
    return pulled[::-1]
