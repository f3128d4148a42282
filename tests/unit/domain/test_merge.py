from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.jobs import Chunk, Piece
from v2t.domain.merge import merge_chunks
from v2t.domain.transcript import Segment, Word
from v2t.domain.words import PAUSE_SECONDS


def chunk(*pieces: tuple[float, float], index: int = 0) -> Chunk:
    return Chunk(index, f"chunk-{index}", tuple(Piece(start, length) for start, length in pieces))


def segment(*words: tuple[str, float, float]) -> Segment:
    timed = tuple(Word(text, start, end, 0.9) for text, start, end in words)
    return Segment(timed[0].start, timed[-1].end, " ".join(word.text for word in timed), timed, 0.9, 0.1)


def times(segments: tuple[Segment, ...]) -> list[tuple[str, float, float]]:
    return [(word.text, word.start, word.end) for part in segments for word in part.words]


def test_words_move_to_where_their_piece_stands() -> None:
    merged = merge_chunks([(chunk((10.0, 2.0), (13.0, 2.0)), [segment(("a", 0.5, 1.5), ("b", 2.25, 3.0))])])
    assert times(merged) == [("a", 10.5, 11.5), ("b", 13.25, 14.0)]
    assert len(merged) == 1
    assert (merged[0].start, merged[0].end, merged[0].text) == (10.5, 14.0, "a b")


def test_a_word_across_a_cut_stays_in_the_piece_of_its_midpoint() -> None:
    pieces = chunk((10.0, 2.0), (13.0, 2.0))
    assert times(merge_chunks([(pieces, [segment(("mostly-first", 1.2, 2.3))])])) == [("mostly-first", 11.2, 12.0)]
    assert times(merge_chunks([(pieces, [segment(("mostly-second", 1.9, 2.6))])])) == [("mostly-second", 13.0, 13.6)]


def test_a_word_past_the_end_of_the_audio_is_kept_at_its_end() -> None:
    merged = merge_chunks([(chunk((10.0, 2.0)), [segment(("late", 1.9, 29.0), ("later", 29.0, 30.0))])])
    assert times(merged) == [("late", 11.9, 12.0), ("later", 12.0, 12.0)]


def test_a_segment_is_divided_at_a_long_silence_that_was_left_out() -> None:
    heard = segment(("one", 0.0, 1.0), ("two", 1.0, 2.0), ("three", 2.0, 3.0))
    merged = merge_chunks([(chunk((0.0, 2.0), (60.0, 2.0)), [heard])])
    assert [(part.text, part.start, part.end) for part in merged] == [("one two", 0.0, 2.0), ("three", 60.0, 61.0)]
    assert [part.no_speech_probability for part in merged] == [0.1, 0.1]


def test_a_divided_segment_has_the_probability_of_its_own_words() -> None:
    words = (Word("sure", 0.0, 1.0, 1.0), Word("guess", 1.0, 2.0, 0.2))
    merged = merge_chunks([(chunk((0.0, 1.0), (60.0, 1.0)), [Segment(0.0, 2.0, "sure guess", words, 0.6)])])
    assert [part.probability for part in merged] == [1.0, 0.2]


def test_a_divided_segment_keeps_chinese_unspaced() -> None:
    words = tuple(Word(text, at, at + 1.0, 0.9, spaced=False) for at, text in enumerate("你好吗"))
    merged = merge_chunks([(chunk((0.0, 2.0), (60.0, 1.0)), [Segment(0.0, 3.0, "你好吗", words, 0.9)])])
    assert [part.text for part in merged] == ["你好", "吗"]


def test_a_segment_without_words_may_span_pieces() -> None:
    heard = Segment(1.0, 3.0, "no words", probability=0.5)
    (merged,) = merge_chunks([(chunk((10.0, 2.0), (13.0, 2.0)), [heard])])
    assert (merged.start, merged.end, merged.text, merged.words) == (11.0, 14.0, "no words", ())


def test_a_segment_that_ends_with_a_piece_does_not_reach_into_the_next() -> None:
    (merged,) = merge_chunks([(chunk((10.0, 2.0), (60.0, 2.0)), [Segment(0.0, 2.0, "first piece only")])])
    assert (merged.start, merged.end) == (10.0, 12.0)


def test_a_segment_without_text_is_left_out() -> None:
    assert merge_chunks([(chunk((0.0, 2.0)), [Segment(0.0, 1.0, "  ")])]) == ()


def test_chunks_are_merged_by_their_number_however_they_arrive() -> None:
    first, second = chunk((0.0, 2.0), index=0), chunk((2.0, 2.0), index=1)
    merged = merge_chunks([(second, [segment(("b", 0.0, 1.0))]), (first, [segment(("a", 0.0, 1.0))])])
    assert times(merged) == [("a", 0.0, 1.0), ("b", 2.0, 3.0)]


def test_words_that_overlap_are_parted() -> None:
    merged = merge_chunks([(chunk((0.0, 5.0)), [segment(("a", 0.0, 2.0), ("b", 1.0, 3.0), ("c", 0.5, 0.8))])])
    assert times(merged) == [("a", 0.0, 1.0), ("b", 1.0, 1.0), ("c", 1.0, 1.0)]


MILLISECONDS = st.integers(0, 8000)


@st.composite
def parts(draw: st.DrawFn, *, sane: bool) -> list[tuple[Chunk, list[Segment]]]:
    """Chunks of pieces in order; words named by number. Sane ones are in order, inside the audio, not overlapping."""
    result = []
    clock, number = 0, 0
    for index in range(draw(st.integers(1, 3))):
        pieces = []
        for _ in range(draw(st.integers(1, 4))):
            clock += draw(st.integers(0, 5000))
            length = draw(st.integers(1, 3000))
            pieces.append((clock / 1000, length / 1000))
            clock += length
        total = round(1000 * sum(length for _, length in pieces))
        instant = st.integers(0, total) if sane else st.integers(-500, total + 5000)
        instants = draw(st.lists(instant, max_size=16, unique=sane).map(lambda found: found[: len(found) // 2 * 2]))
        instants = sorted(instants) if sane else instants
        words = []
        for start, end in zip(instants[::2], instants[1::2], strict=True):
            words.append((f"w{number}", start / 1000, end / 1000))
            number += 1
        cut = draw(st.integers(0, len(words)))
        result.append((chunk(*pieces, index=index), [segment(*some) for some in (words[:cut], words[cut:]) if some]))
    return result


@given(parts(sane=False))
def test_no_word_is_lost_or_doubled_and_time_never_goes_back(drawn: list[tuple[Chunk, list[Segment]]]) -> None:
    merged = merge_chunks(drawn)
    words = [word for part in merged for word in part.words]
    assert [word.text for word in words] == [word.text for _, some in drawn for part in some for word in part.words]
    assert " ".join(part.text for part in merged).split() == [word.text for word in words]
    for word in words:
        assert drawn[0][0].start <= word.start <= word.end <= drawn[-1][0].end + 1e-9
        assert word.start == round(word.start, 3)
        assert word.end == round(word.end, 3)
    for before, after in pairwise(words):
        assert before.end <= after.start
    for part in merged:
        assert (part.start, part.end) == (part.words[0].start, part.words[-1].end)
        assert all(after.start - before.end <= PAUSE_SECONDS for before, after in pairwise(part.words))


@given(parts(sane=True))
def test_a_word_inside_one_piece_is_placed_to_the_millisecond(drawn: list[tuple[Chunk, list[Segment]]]) -> None:
    placed = {word.text: word for part in merge_chunks(drawn) for word in part.words}
    for source, some in drawn:
        offset = 0.0
        for piece in source.pieces:
            for word in (word for part in some for word in part.words):
                if offset <= word.start and word.end <= offset + piece.length:
                    expected = (piece.start + word.start - offset, piece.start + word.end - offset)
                    assert (placed[word.text].start, placed[word.text].end) == pytest.approx(expected, abs=0.001)
            offset += piece.length


@given(parts(sane=True))
def test_segments_without_words_stay_inside_and_in_order(drawn: list[tuple[Chunk, list[Segment]]]) -> None:
    bare = [(source, [Segment(part.start, part.end, part.text) for part in some]) for source, some in drawn]
    merged = merge_chunks(bare)
    assert [part.text for part in merged] == [part.text for _, some in bare for part in some]
    for part in merged:
        assert bare[0][0].start <= part.start <= part.end <= bare[-1][0].end + 1e-9
    for before, after in pairwise(merged):
        assert before.end <= after.start
