from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.filters import filter_segments
from v2t.domain.transcript import DroppedSpan, DropReason, Segment, Word

LINES = [
    "So tell me, what did you see that night?",
    "I was walking home along the river when the lights went out.",
    "And then?",
    "Then nothing, I just kept walking until I reached the bridge.",
]


def said(*texts: str, gap: float = 0.2, probability: float = 0.8, no_speech: float = 0.1) -> list[Segment]:
    """Segments of 2 seconds, `gap` apart."""
    return [
        Segment(at * (2 + gap), at * (2 + gap) + 2, text, (), probability, no_speech) for at, text in enumerate(texts)
    ]


def kept(segments: list[Segment]) -> list[str]:
    return [segment.text for segment in filter_segments(segments)[0]]


def test_ordinary_speech_passes_untouched() -> None:
    segments = said(*LINES)
    assert filter_segments(segments) == (segments, [])


def test_doubtful_text_over_silence_is_dropped_with_its_reason() -> None:
    segments = [*said(*LINES[:2]), Segment(60.0, 90.0, "Thanks for watching!", (), 0.3, 0.9)]
    assert filter_segments(segments) == (segments[:2], [DroppedSpan(60.0, 90.0, DropReason.LOW_CONFIDENCE)])


@pytest.mark.parametrize(
    ("probability", "no_speech"),
    [
        (0.3, 0.5),  # unsure of the words, sure that somebody speaks
        (0.9, 0.95),  # sure of the words
        (0.37, 0.95),  # just above exp(-1)
        (0.0, 0.95),  # an engine that gives no probability
    ],
)
def test_text_is_not_dropped_on_one_doubt_alone(probability: float, no_speech: float) -> None:
    segments = said("Thanks for watching!", probability=probability, no_speech=no_speech)
    assert filter_segments(segments) == (segments, [])


def test_a_segment_that_loops_is_dropped() -> None:
    segments = said(LINES[0], "I'm going to " * 12, LINES[1])
    assert filter_segments(segments) == (
        [segments[0], segments[2]],
        [DroppedSpan(segments[1].start, segments[1].end, DropReason.REPETITION)],
    )


def test_a_loop_without_spaces_is_dropped_too() -> None:
    assert kept(said("ありがとう" * 12)) == []


def test_of_the_same_segment_over_and_over_the_first_is_kept() -> None:
    segments = said(LINES[0], *["Thank you."] * 3, "thank you", LINES[1])
    survivors, dropped = filter_segments(segments)
    assert survivors == [segments[0], segments[1], segments[5]]
    assert dropped == [DroppedSpan(part.start, part.end, DropReason.REPETITION) for part in segments[2:5]]


@pytest.mark.parametrize(
    "texts",
    [
        ["No, no, no."],
        ["No.", "No.", "No."],
        ["Again.", "And?", "Again.", "And?", "Again.", "And?", "Again."],
        [" ".join(map(str, range(1, 41)))],
        ["One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve."],
        ["Left, right, left, right, left, right."],
        ["Row, row, row your boat, gently down the stream. " * 2],
        ["Row, row, row your boat,", "gently down the stream.", "Row, row, row your boat,", "gently down the stream."],
        ["Buffalo buffalo Buffalo buffalo buffalo buffalo Buffalo buffalo."],
    ],
)
def test_what_people_do_repeat_survives(texts: list[str]) -> None:
    assert kept(said(*texts)) == texts


def test_the_same_answer_after_long_pauses_survives() -> None:
    assert kept(said(*["Yes."] * 6, gap=5.0)) == ["Yes."] * 6


def test_a_doubtful_segment_does_not_hide_a_loop() -> None:
    segments = said(*["Thank you."] * 5, gap=0.0)
    segments[2] = replace(segments[2], text="Bye.", probability=0.2, no_speech_probability=0.9)
    survivors, dropped = filter_segments(segments)
    assert survivors == segments[:1]
    assert [span.reason for span in dropped] == [
        DropReason.REPETITION,
        DropReason.LOW_CONFIDENCE,
        DropReason.REPETITION,
        DropReason.REPETITION,
    ]


def test_a_word_without_duration_gets_one_and_the_next_gives_way() -> None:
    words = (Word("a", 1.0, 1.0, 0.9), Word("b", 1.0, 1.5, 0.9), Word("c", 1.5, 1.4, 0.9), Word("d", 2.0, 2.5, 0.9))
    ((segment,), _) = filter_segments([Segment(1.0, 2.5, "a b c d", words, 0.9)])
    assert [(word.start, word.end) for word in segment.words] == [(1.0, 1.02), (1.02, 1.5), (1.5, 1.52), (2.0, 2.5)]


def test_words_without_duration_at_the_very_end_take_it_from_those_before() -> None:
    words = (Word("a", 1.0, 2.0, 0.9), Word("b", 2.0, 2.0, 0.9), Word("c", 2.0, 2.0, 0.9))
    ((segment,), _) = filter_segments([Segment(1.0, 2.0, "a b c", words, 0.9)])
    assert [(word.start, word.end) for word in segment.words] == [(1.0, 1.96), (1.96, 1.98), (1.98, 2.0)]
    assert segment.end == 2.0


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=30), st.integers(1, 29))
def test_kept_words_all_last_and_never_overlap(steps: list[tuple[int, int]], cut: int) -> None:
    words: list[Word] = []
    clock = 5000
    for pause, length in steps:
        words.append(Word(f"w{len(words)}", (clock + pause) / 1000, (clock + pause + length) / 1000, 0.9))
        clock += pause + length
    groups = [tuple(group) for group in (words[:cut], words[cut:]) if group]
    segments = [Segment(group[0].start, group[-1].end, " ".join(w.text for w in group), group, 0.9) for group in groups]
    survivors, _ = filter_segments(segments)
    result = [word for segment in survivors for word in segment.words]
    assert [word.text for word in result] == [word.text for word in words]
    assert all(word.end - word.start >= 0.02 - 1e-9 for word in result)
    assert all(before.end <= after.start + 1e-9 for before, after in pairwise(result))
    assert result[-1].end <= words[-1].end
    assert all((part.start, part.end) == (part.words[0].start, part.words[-1].end) for part in survivors)


@given(
    st.lists(
        st.builds(
            Segment,
            st.integers(0, 100).map(float),
            st.integers(0, 100).map(float),
            st.sampled_from(["", "Yes.", "No.", "Thank you.", LINES[0], "la " * 30]),
            st.just(()),
            st.floats(0, 1),
            st.floats(0, 1),
        ),
        max_size=12,
    )
)
def test_every_segment_is_either_kept_or_accounted_for(segments: list[Segment]) -> None:
    survivors, dropped = filter_segments(segments)
    assert len(survivors) + len(dropped) == len(segments)
    remaining = iter(segments)
    assert all(any(survivor is candidate for candidate in remaining) for survivor in survivors)
