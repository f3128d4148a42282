"""Finds speech that came back without words, so that it is reported instead of silently missing."""

from __future__ import annotations

from collections.abc import Sequence

from v2t.domain.jobs import Chunk
from v2t.domain.transcript import DroppedSpan, DropReason, Segment

_SHORTEST_SECONDS = 1.0
"""A shorter piece is a breath or a click as often as it is a word."""


def spans_without_words(
    chunks: Sequence[Chunk], segments: Sequence[Segment], dropped: Sequence[DroppedSpan]
) -> list[DroppedSpan]:
    """The pieces of detected speech that no segment and no dropped span touches, as dropped spans.

    Args:
        chunks: in order of time.
        segments: what was heard, in source time.
        dropped: what is reported already.
    """
    covered = sorted(
        [(segment.start, segment.end) for segment in segments] + [(span.start, span.end) for span in dropped]
    )
    missing = []
    place = 0
    for piece in (piece for chunk in chunks for piece in chunk.pieces):
        end = piece.start + piece.length
        while place < len(covered) and covered[place][1] <= piece.start:
            place += 1
        touched = place < len(covered) and covered[place][0] < end
        if not touched and piece.length >= _SHORTEST_SECONDS:
            missing.append(DroppedSpan(piece.start, end, DropReason.NO_TEXT))
    return missing
