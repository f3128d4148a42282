"""Puts the segments that engines heard in chunks back where they stand in the source."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from v2t.domain.jobs import Chunk
from v2t.domain.transcript import Segment, Word
from v2t.domain.words import join_words, split_at_pauses


def merge_chunks(parts: Sequence[tuple[Chunk, Sequence[Segment]]]) -> tuple[Segment, ...]:
    """Merge the segments of all chunks, their times in seconds of each chunk's object, into those of the source.

    A word belongs to the piece that holds its midpoint and is kept inside it. Times are whole milliseconds, starts
    never go back and nothing overlaps. A segment is divided where the source is silent for long between two of its
    words, as where the chunk left a silence out. A segment without words may span pieces; one without words or text
    is left out.
    """
    placed: list[tuple[Segment, list[Word]]] = []
    for chunk, segments in sorted(parts, key=lambda part: part[0].index):
        timeline = _Timeline(chunk)
        for segment in segments:
            if segment.words:
                placed.append((segment, [timeline.place_word(word) for word in segment.words]))
            elif segment.text.strip():
                placed.append((segment, [timeline.place_text(segment)]))
    settled = iter(_settle([word for _, words in placed for word in words]))
    return tuple(part for segment, words in placed for part in _rebuild(segment, tuple(next(settled) for _ in words)))


class _Timeline:
    """Where the seconds of a chunk's object stand in the source."""

    def __init__(self, chunk: Chunk) -> None:
        self._pieces = chunk.pieces
        self._offsets = [0.0, *accumulate(piece.length for piece in chunk.pieces[:-1])]

    def place_word(self, word: Word) -> Word:
        """The word inside the piece that holds its midpoint."""
        piece = bisect_right(self._offsets, (word.start + word.end) / 2)
        return replace(word, start=self._source(word.start, piece), end=self._source(word.end, piece))

    def place_text(self, segment: Segment) -> Word:
        """A segment's text as one word, its start and its end each inside the piece that holds it."""
        start = self._source(segment.start, bisect_right(self._offsets, segment.start))
        end = self._source(segment.end, bisect_left(self._offsets, segment.end))
        return Word(segment.text, start, end, segment.probability)

    def _source(self, seconds: float, number: int) -> float:
        """The source time of an object time, kept inside piece `number`, counted from 1."""
        index = max(0, number - 1)
        piece = self._pieces[index]
        return round(piece.start + min(max(seconds - self._offsets[index], 0.0), piece.length), 3)


def _settle(words: Sequence[Word]) -> list[Word]:
    """Let starts never go back, no end lie before its start, and no word reach into the next."""
    ordered = []
    latest = -math.inf
    for word in words:
        latest = max(latest, word.start)
        ordered.append(
            word if latest == word.start <= word.end else replace(word, start=latest, end=max(latest, word.end))
        )
    for index, (word, following) in enumerate(pairwise(ordered)):
        if word.end > following.start:
            ordered[index] = replace(word, end=following.start)
    return ordered


def _rebuild(segment: Segment, words: tuple[Word, ...]) -> list[Segment]:
    """The segment at the times of its placed words, divided at long pauses."""
    if not segment.words:
        return [replace(segment, start=words[0].start, end=words[0].end)]
    groups = split_at_pauses(words)
    if len(groups) == 1:
        return [replace(segment, start=words[0].start, end=words[-1].end, words=words)]
    return [
        replace(
            segment,
            start=group[0].start,
            end=group[-1].end,
            text=join_words(group),
            words=group,
            probability=sum(word.probability for word in group) / len(group),
        )
        for group in groups
    ]
