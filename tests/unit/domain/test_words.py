from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.transcript import Segment, Word
from v2t.domain.words import count_columns, divide_text, join_words, split_at_pauses, words_of


def parts(text: str) -> list[str]:
    return [part for part, _ in divide_text(text)]


def test_words_are_joined_with_the_spaces_that_stand_in_speech() -> None:
    english = [Word("Hello,", 0, 1, 1.0), Word("twenty", 1, 2, 1.0), Word("-five", 2, 3, 1.0, spaced=False)]
    assert join_words(english) == "Hello, twenty-five"
    assert join_words([Word("你", 0, 1, 1.0, spaced=False), Word("好。", 1, 2, 1.0, spaced=False)]) == "你好。"


def test_words_are_divided_where_a_pause_is_longer_than_the_limit() -> None:
    words = [Word("a", 0, 1, 1.0), Word("b", 3, 4, 1.0), Word("c", 6.1, 7, 1.0)]
    assert split_at_pauses(words, 2.0) == [(words[0], words[1]), (words[2],)]
    assert split_at_pauses([]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, big world.", ["Hello,", "big", "world."]),
        ("你好。我用Python编程。", ["你", "好。", "我", "用", "Python", "编", "程。"]),
        ("「これ」は、ちょっと", ["「こ", "れ」", "は、", "ちょっ", "と"]),
        ("한국어 문장입니다.", ["한국어", "문장입니다."]),
        ("ไปเที่ยว", ["ไป", "เที่", "ย", "ว"]),
        ("  ", []),
    ],
)
def test_text_is_divided_where_lines_may_break(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


@given(st.text())
def test_dividing_text_loses_nothing_and_keeps_its_spaces(text: str) -> None:
    divided = divide_text(text)
    joined = "".join(f" {part}" if spaced else part for part, spaced in divided).strip()
    assert joined == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("für", 3), ("fu\u0308r", 3), ("日本", 4), ("。", 2), ("ｱ", 1), ("한", 2), ("\u200b", 0)],
)
def test_columns_are_those_a_terminal_or_player_uses(text: str, columns: int) -> None:
    assert count_columns(text) == columns


def test_a_segment_with_words_keeps_them() -> None:
    words = (Word("a", 0, 1, 0.5),)
    assert words_of(Segment(0, 1, "something else", words)) == words


def test_a_segment_without_words_is_timed_in_proportion_to_its_text() -> None:
    words = words_of(Segment(10.0, 20.0, "abcd ef 日本", probability=0.7))
    assert [(word.text, word.start, word.end) for word in words] == [
        ("abcd", 10.0, 14.0),
        ("ef", 14.0, 16.0),
        ("日", 16.0, 18.0),
        ("本", 18.0, 20.0),
    ]
    assert [word.spaced for word in words] == [True, True, True, False]
    assert {word.probability for word in words} == {0.7}


def test_a_segment_that_ends_before_it_starts_gives_words_without_duration() -> None:
    assert [(word.start, word.end) for word in words_of(Segment(5.0, 4.0, "a b"))] == [(5.0, 5.0), (5.0, 5.0)]
