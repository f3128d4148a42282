from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from v2t.domain.transcript import Word
from v2t.providers.whisper_cpp import _detect_language, _phrases, _words

SECOND = 16_000


@dataclass
class Piece:
    """As pywhispercpp gives them: times in 10 ms."""

    text: str
    t0: int
    t1: int
    probability: float = 0.5


def word(text: str, start: float, end: float) -> Word:
    return Word(text, start, end, 0.5)


def texts(words: list[Word]) -> list[str]:
    return [segment.text for segment in _phrases(words)]


def test_a_word_is_freed_of_its_space_and_its_time_counted_in_seconds() -> None:
    assert _words(Piece(" Hello,", 120, 155), spaced=True) == [Word("Hello,", 1.2, 1.55, 0.5)]


def test_a_piece_without_text_is_no_word() -> None:
    assert _words(Piece("  ", 0, 10), spaced=True) == []


def test_without_spaces_each_character_has_its_share_of_the_time() -> None:
    assert _words(Piece("日本語", 0, 300), spaced=False) == [
        Word("日", 0.0, 1.0, 0.5, spaced=False),
        Word("本", 1.0, 2.0, 0.5, spaced=False),
        Word("語", 2.0, 3.0, 0.5, spaced=False),
    ]


@pytest.mark.parametrize("mark", [".", "?", "!", "…", "。"])
def test_a_phrase_ends_at_its_mark(mark: str) -> None:
    words = [word("One", 0, 1), word(f"two{mark}", 1, 2), word("Three", 2, 3)]
    assert texts(words) == [f"One two{mark}", "Three"]


def test_a_phrase_ends_at_a_pause() -> None:
    assert texts([word("one", 0, 1), word("two", 1.7, 2), word("three", 3, 4)]) == ["one two", "three"]


def test_a_phrase_does_not_get_longer_than_twelve_seconds() -> None:
    words = [word(f"w{second}", second, second + 1) for second in range(30)]
    phrases = _phrases(words)
    assert all(phrase.end - phrase.start <= 12 for phrase in phrases)
    assert [w for phrase in phrases for w in phrase.words] == words


def test_a_phrase_knows_its_span_and_mean_probability() -> None:
    (phrase,) = _phrases([Word("a", 1.0, 2.0, 0.4), Word("b", 2.0, 3.0, 0.8)])
    assert (phrase.start, phrase.end, phrase.text) == (1.0, 3.0, "a b")
    assert phrase.probability == pytest.approx(0.6)


def test_no_words_make_no_phrase() -> None:
    assert _phrases([]) == []


class Ear:
    """A model that hears the given languages, one sample after the other."""

    def __init__(self, *answers: dict[str, float]) -> None:
        self.lengths: list[int] = []
        self._answers = iter(answers)

    def auto_detect_language(self, samples: Any) -> tuple[tuple[str, float], dict[str, float]]:
        self.lengths.append(len(samples))
        return ("", 0.0), next(self._answers)


def test_one_sample_that_is_sure_decides_the_language() -> None:
    ear = Ear({"de": 0.95, "en": 0.05})
    assert _detect_language(ear, np.zeros(100 * SECOND, np.float32)) == ("de", 0.95)
    assert ear.lengths == [30 * SECOND]


def test_unsure_samples_are_voted_on() -> None:
    ear = Ear({"de": 0.4, "nl": 0.6}, {"de": 0.8, "nl": 0.2}, {"de": 0.6, "nl": 0.4})
    language, probability = _detect_language(ear, np.zeros(100 * SECOND, np.float32))
    assert language == "de"
    assert probability == pytest.approx(0.6)
    assert ear.lengths == [30 * SECOND] * 3


def test_a_short_recording_is_heard_once() -> None:
    ear = Ear({"de": 0.5, "nl": 0.4})
    assert _detect_language(ear, np.zeros(10 * SECOND, np.float32)) == ("de", 0.5)
    assert ear.lengths == [10 * SECOND]
