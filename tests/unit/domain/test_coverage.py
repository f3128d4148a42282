from __future__ import annotations

import pytest

from v2t.domain.coverage import spans_without_words
from v2t.domain.jobs import Chunk, Piece
from v2t.domain.transcript import DroppedSpan, DropReason, Segment


def chunk(*pieces: tuple[float, float]) -> Chunk:
    return Chunk(0, "0.wav", tuple(Piece(start, length) for start, length in pieces))


def no_text(start: float, end: float) -> DroppedSpan:
    return DroppedSpan(start, end, DropReason.NO_TEXT)


def test_a_piece_of_speech_without_a_word_is_reported() -> None:
    chunks = [chunk((0.0, 5.0), (8.0, 4.0)), chunk((20.0, 3.0))]
    segments = [Segment(0.5, 4.0, "hello"), Segment(20.5, 22.0, "bye")]
    assert spans_without_words(chunks, segments, []) == [no_text(8.0, 12.0)]


def test_everything_is_reported_when_nothing_was_heard() -> None:
    assert spans_without_words([chunk((0.0, 5.0)), chunk((9.0, 2.0))], [], []) == [
        no_text(0.0, 5.0),
        no_text(9.0, 11.0),
    ]


def test_a_segment_that_reaches_into_a_piece_covers_it() -> None:
    chunks = [chunk((0.0, 5.0), (6.0, 4.0))]
    assert spans_without_words(chunks, [Segment(1.0, 6.5, "over the gap")], []) == []


def test_one_long_segment_covers_every_piece_in_it() -> None:
    chunks = [chunk((0.0, 2.0), (3.0, 2.0), (6.0, 2.0))]
    assert spans_without_words(chunks, [Segment(0.0, 8.0, "all of it")], []) == []


def test_what_only_touches_at_its_edge_does_not_cover() -> None:
    chunks = [chunk((2.0, 2.0))]
    around = [Segment(0.0, 2.0, "before"), Segment(4.0, 6.0, "after")]
    assert spans_without_words(chunks, around, []) == [no_text(2.0, 4.0)]


def test_what_is_reported_already_is_not_reported_twice() -> None:
    doubtful = DroppedSpan(3.0, 4.0, DropReason.LOW_CONFIDENCE)
    assert spans_without_words([chunk((2.0, 3.0))], [], [doubtful]) == []


@pytest.mark.parametrize(("length", "reported"), [(0.99, 0), (1.0, 1)])
def test_a_breath_is_not_worth_reporting(length: float, reported: int) -> None:
    assert len(spans_without_words([chunk((0.0, length))], [], [])) == reported


def test_nothing_comes_of_nothing() -> None:
    assert spans_without_words([], [], []) == []
