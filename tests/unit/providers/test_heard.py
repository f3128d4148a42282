from __future__ import annotations

import pytest

from v2t.domain.errors import EngineEmptyResult
from v2t.domain.jobs import Chunk, Piece
from v2t.domain.transcript import Segment, Word
from v2t.providers.heard import join_phrases, make_result


def word(text: str, start: float, end: float) -> Word:
    return Word(text, start, end, 0.5)


def texts(words: list[Word]) -> list[str]:
    return [segment.text for segment in join_phrases(words)]


@pytest.mark.parametrize("mark", [".", "?", "!", "…", "。"])
def test_a_phrase_ends_at_its_mark(mark: str) -> None:
    words = [word("One", 0, 1), word(f"two{mark}", 1, 2), word("Three", 2, 3)]
    assert texts(words) == [f"One two{mark}", "Three"]


def test_a_phrase_ends_at_a_pause() -> None:
    assert texts([word("one", 0, 1), word("two", 1.7, 2), word("three", 3, 4)]) == ["one two", "three"]


def test_a_phrase_does_not_get_longer_than_twelve_seconds() -> None:
    words = [word(f"w{second}", second, second + 1) for second in range(30)]
    phrases = join_phrases(words)
    assert all(phrase.end - phrase.start <= 12 for phrase in phrases)
    assert [w for phrase in phrases for w in phrase.words] == words


def test_a_phrase_knows_its_span_and_mean_probability() -> None:
    (phrase,) = join_phrases([Word("a", 1.0, 2.0, 0.4), Word("b", 2.0, 3.0, 0.8)])
    assert (phrase.start, phrase.end, phrase.text) == (1.0, 3.0, "a b")
    assert phrase.probability == pytest.approx(0.6)


def test_no_words_make_no_phrase() -> None:
    assert join_phrases([]) == []


def chunk(seconds: float) -> Chunk:
    return Chunk(0, "0.wav", (Piece(0.0, seconds),))


def test_times_are_kept_inside_the_chunk_and_in_order() -> None:
    late = Segment(9.0, 99.0, "two", (word("two", 9.0, 99.0),))
    early = Segment(-1.0, 3.0, "one", (word("one", -1.0, 0.5),))
    result = make_result(chunk(10.0), [late, early], "en", 0.9, 1.0)
    assert [(segment.start, segment.end, segment.text) for segment in result.segments] == [
        (0.0, 3.0, "one"),
        (9.0, 10.0, "two"),
    ]
    assert [(w.start, w.end) for segment in result.segments for w in segment.words] == [(0.0, 0.5), (9.0, 10.0)]


def test_an_end_before_its_start_is_no_time() -> None:
    (segment,) = make_result(chunk(10.0), [Segment(5.0, 2.0, "so")], "en", 1.0, 0.0).segments
    assert (segment.start, segment.end) == (5.0, 5.0)


@pytest.mark.parametrize("segments", [[], [Segment(0.0, 1.0, "  ")]], ids=["none", "blank"])
def test_no_text_where_there_surely_is_speech_is_a_failure(segments: list[Segment]) -> None:
    with pytest.raises(EngineEmptyResult):
        make_result(chunk(3.0), segments, "en", 1.0, 0.0)
    assert make_result(chunk(2.9), segments, "en", 1.0, 0.0).segments == ()
