from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from v2t.domain.transcript import Word
from v2t.providers.whisper_cpp import _detect_language, _words

SECOND = 16_000


@dataclass
class Piece:
    """As pywhispercpp gives them: times in 10 ms."""

    text: str
    t0: int
    t1: int
    probability: float = 0.5


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
