from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.coverage import spans_without_words
from v2t.domain.jobs import Chunk, Piece
from v2t.domain.transcript import DroppedSpan, DropReason, Segment


def chunks(*pieces: tuple[float, float]) -> list[Chunk]:
    """One chunk for each two pieces."""
    stretches = [Piece(start, length) for start, length in pieces]
    return [Chunk(at, "key", tuple(stretches[at : at + 2])) for at in range(0, len(stretches), 2)]


def test_speech_without_words_is_reported() -> None:
    speech = chunks((0.0, 5.0), (10.0, 5.0), (20.0, 5.0))
    heard = [Segment(0.5, 4.0, "first"), Segment(20.0, 21.0, "third")]
    assert spans_without_words(speech, heard, []) == [DroppedSpan(10.0, 15.0, DropReason.NO_TEXT)]


def test_speech_that_was_dropped_is_not_reported_twice() -> None:
    dropped = [DroppedSpan(11.0, 12.0, DropReason.REPETITION)]
    assert spans_without_words(chunks((10.0, 5.0)), [], dropped) == []


def test_a_breath_is_not_reported() -> None:
    assert spans_without_words(chunks((10.0, 0.9)), [], []) == []


def test_a_segment_that_only_meets_a_piece_does_not_cover_it() -> None:
    speech = chunks((10.0, 5.0))
    assert spans_without_words(speech, [Segment(5.0, 10.0, "before"), Segment(15.0, 16.0, "after")], []) == [
        DroppedSpan(10.0, 15.0, DropReason.NO_TEXT)
    ]


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=8)


@given(SPANS, SPANS)
def test_exactly_the_untouched_pieces_are_reported(steps: list[tuple[int, int]], heard: list[tuple[int, int]]) -> None:
    pieces: list[tuple[float, float]] = []
    clock = 0.0
    for pause, length in steps:
        pieces.append((clock + pause, float(length)))
        clock += pause + length
    segments = [Segment(float(start), float(start + length), "text") for start, length in heard]
    expected = [
        DroppedSpan(start, start + length, DropReason.NO_TEXT)
        for start, length in pieces
        if not any(part.start < start + length and part.end > start for part in segments)
    ]
    assert spans_without_words(chunks(*pieces), segments, []) == expected
