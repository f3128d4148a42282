from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.errors import UsageError
from v2t.domain.subtitles import Cue, SubtitleLimits, cut_cues
from v2t.domain.transcript import Segment, Transcript, Word
from v2t.domain.words import count_columns, divide_text

LIMITS = SubtitleLimits()
STORY = (
    "The first thing we noticed was the noise. It came from the far end of the valley, and it never stopped. "
    "Nobody knew what it was; some said it was the wind, others a machine that had been left running for years."
)


def speak(text: str, characters_per_second: float = 14.0, start: float = 1.0, pause: float = 0.3) -> list[Word]:
    """The words of a text at a steady rate, a pause after each sentence."""
    words = []
    for part in text.split():
        end = start + len(part) / characters_per_second
        words.append(Word(part, round(start, 3), round(end, 3), 0.9))
        start = end + 1 / characters_per_second + (pause if part[-1] in ".?!" else 0.0)
    return words


def transcript(words: Sequence[Word], duration: float | None = None) -> Transcript:
    segment = Segment(words[0].start, words[-1].end, " ".join(word.text for word in words), tuple(words))
    return Transcript(words[-1].end + 1 if duration is None else duration, (segment,))


def lines(cues: list[Cue]) -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues]


def test_cues_end_with_sentences_and_lines_at_punctuation() -> None:
    assert lines(cut_cues(transcript(speak(STORY)), LIMITS)) == [
        ("The first thing we noticed was the noise.",),
        ("It came from the far end of the valley,", "and it never stopped."),
        ("Nobody knew what it was;", "some said it was the wind,"),
        ("others a machine that had", "been left running for years."),
    ]


def test_speech_that_is_all_too_fast_is_still_cut_at_sentences() -> None:
    words = speak(STORY, 26.0, pause=0.1)
    cues = cut_cues(transcript(words, duration=words[-1].end), LIMITS)
    assert lines(cues)[:3] == [
        ("The first thing we noticed was the noise.",),
        ("It came from the far end of the valley,", "and it never stopped."),
        ("Nobody knew what it was;", "some said it was the wind,"),
    ]


def test_two_lines_are_balanced_where_no_punctuation_helps() -> None:
    (cue,) = cut_cues(
        transcript(speak("twelve words without any mark that would say where lines should break")), LIMITS
    )
    assert len(cue.lines) == 2
    assert abs(len(cue.lines[0]) - len(cue.lines[1])) <= 6


def test_a_long_pause_ends_a_cue() -> None:
    words = [*speak("and then"), *speak("nothing", start=6.0)]
    assert lines(cut_cues(transcript(words), LIMITS)) == [("and then",), ("nothing",)]


def test_a_fast_cue_stays_on_screen_into_the_silence_after_it() -> None:
    words = speak("Extraordinarily quick remarks follow.", 40.0)
    (cue,) = cut_cues(transcript(words, duration=30.0), LIMITS)
    assert cue.end_ms - cue.start_ms == pytest.approx(37 / 20 * 1000, abs=1)
    assert cue.end_ms > 1000 * words[-1].end


def test_it_is_not_extended_into_the_next_cue() -> None:
    words = [*speak("Extraordinarily quick remarks follow.", 40.0), *speak("Yes.", start=2.3, characters_per_second=4)]
    first, second = cut_cues(transcript(words), SubtitleLimits(max_line_width=38, max_lines=1))
    assert first.end_ms == second.start_ms - 84


def test_a_sentence_that_would_be_shown_too_briefly_shares_a_cue() -> None:
    after = speak("Then we left the house.", start=0.88)
    assert lines(cut_cues(transcript([Word("Go.", 0.0, 0.3, 0.9), *after]), LIMITS)) == [
        ("Go. Then we left the house.",)
    ]
    later = speak("Then we left the house.", start=0.93)
    assert len(cut_cues(transcript([Word("Go.", 0.0, 0.3, 0.9), *later]), LIMITS)) == 2


def test_nothing_is_shown_after_the_end_of_the_source() -> None:
    words = speak("Extraordinarily quick remarks follow.", 40.0)
    (cue,) = cut_cues(transcript(words, duration=words[-1].end), LIMITS)
    assert cue.end_ms == round(1000 * words[-1].end)


def test_a_short_word_alone_is_shown_for_the_minimum() -> None:
    (cue,) = cut_cues(transcript([Word("Yes.", 1.0, 1.2, 0.9)], duration=60.0), LIMITS)
    assert (cue.start_ms, cue.end_ms) == (1000, 1834)


def test_a_word_that_an_engine_held_for_long_is_shown_for_the_maximum() -> None:
    (cue,) = cut_cues(transcript([Word("Yes.", 1.0, 21.0, 0.9)]), LIMITS)
    assert (cue.start_ms, cue.end_ms) == (1000, 8000)


def test_chinese_is_cut_by_columns_and_never_begins_a_line_with_punctuation() -> None:
    text = "今天的天气非常好，我们一起去公园散步吧。孩子们在草地上奔跑，老人们坐在长椅上聊天，大家都很高兴。"  # noqa: RUF001
    words = [Word(mark, 1 + at / 5, 1 + (at + 1) / 5, 0.9, spaced=False) for at, mark in enumerate(text)]
    cues = cut_cues(transcript(words), LIMITS)
    assert "".join(line for cue in cues for line in cue.lines) == text
    for line in (line for cue in cues for line in cue.lines):
        assert count_columns(line) <= 42
        assert line[0] not in "，。"  # noqa: RUF001
    assert cues[0].lines[-1].endswith("散步吧。")


def test_text_without_words_is_cut_and_timed_in_proportion() -> None:
    source = Transcript(20.0, (Segment(1.0, 15.0, STORY),))
    cues = cut_cues(source, LIMITS)
    assert " ".join(line for cue in cues for line in cue.lines) == STORY
    assert cues[0].lines == ("The first thing we noticed was the noise.",)
    assert cues[1].start_ms == pytest.approx(1000 + 14_000 * 42 / len(STORY), abs=300)


def test_what_stands_unspaced_beside_a_word_is_not_parted_from_it() -> None:
    words = [Word("a" * 12, 0.0, 1.0, 0.9), Word("b" * 12, 1.0, 2.0, 0.9), Word("-" + "c" * 13, 2.0, 3.0, 0.9, False)]
    cues = cut_cues(transcript(words), SubtitleLimits(max_line_width=30))
    assert lines(cues) == [("a" * 12, "b" * 12 + "-" + "c" * 13)]


def test_a_word_wider_than_a_line_is_shown_whole() -> None:
    words = speak("see Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft there", 10.0)
    shown = [line for cue in cut_cues(transcript(words), LIMITS) for line in cue.lines]
    assert shown == [word.text for word in words]


def test_more_lines_are_used_where_they_are_allowed() -> None:
    (cue,) = cut_cues(
        transcript(speak("one two three four five six seven")), SubtitleLimits(max_line_width=12, max_lines=4)
    )
    assert cue.lines == ("one two", "three", "four five", "six seven")


def test_an_empty_transcript_has_no_cues() -> None:
    assert cut_cues(Transcript(10.0), LIMITS) == []
    assert cut_cues(Transcript(0.0, (Segment(0.0, 0.0, "  "),)), LIMITS) == []


@pytest.mark.parametrize(
    "values",
    [
        {"max_line_width": 0},
        {"max_lines": 0},
        {"max_characters_per_second": 0.0},
        {"min_duration_seconds": 8.0},
        {"min_duration_seconds": -1.0},
        {"min_duration_seconds": 0.0, "max_duration_seconds": 0.0},
        {"min_gap_seconds": -0.1},
    ],
)
def test_limits_that_nothing_can_meet_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        SubtitleLimits(**values)  # type: ignore[arg-type] # a mix of int and float by name


TEXT = st.text("abcdefghij", min_size=1, max_size=10)
MARK = st.sampled_from(["", "", "", ",", ".", "?", "…"])


@st.composite
def spoken(draw: st.DrawFn, max_words: int = 40) -> Transcript:
    """Words in order, some of them Chinese, in segments with or without words."""
    clock = draw(st.integers(0, 3000))
    segments = []
    for _ in range(draw(st.integers(1, 3))):
        words = []
        for _ in range(draw(st.integers(1, max_words // 3))):
            clock += draw(st.sampled_from([0, 0, 0, 20, 150, 700, 3000]))
            length = draw(st.integers(20, 900))
            spaced = draw(st.booleans())
            text = draw(TEXT) + draw(MARK) if spaced else draw(st.sampled_from(["你", "好吗", "。", "-x", "日本語"]))
            words.append(Word(text, clock / 1000, (clock + length) / 1000, 0.9, spaced))
            clock += length
        text = "".join(f" {word.text}" if word.spaced else word.text for word in words)
        known = draw(st.booleans())
        segments.append(Segment(words[0].start, words[-1].end, text, tuple(words) if known else ()))
    return Transcript((clock + draw(st.integers(0, 2000))) / 1000, tuple(segments))


LIMITS_ANY = st.builds(
    SubtitleLimits,
    max_line_width=st.integers(12, 50),
    max_lines=st.integers(1, 3),
    max_characters_per_second=st.floats(5, 30),
    min_duration_seconds=st.floats(0, 1.5),
    max_duration_seconds=st.floats(1.5, 8),
    min_gap_seconds=st.floats(0, 0.2),
)


@given(spoken(), LIMITS_ANY)
def test_every_word_is_shown_once_in_order_inside_the_source(source: Transcript, limits: SubtitleLimits) -> None:
    cues = cut_cues(source, limits)
    shown = "".join(line for cue in cues for line in cue.lines)
    assert "".join(shown.split()) == "".join("".join(part.text.split()) for part in source.segments)
    assert cues[0].start_ms >= 0
    assert cues[-1].end_ms <= round(1000 * source.duration_seconds)
    assert all(cue.start_ms < cue.end_ms for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))


def may_part(line: str) -> bool:
    return len(divide_text(line)) > 1


@given(spoken(), LIMITS_ANY)
def test_lines_and_long_cues_keep_their_limits(source: Transcript, limits: SubtitleLimits) -> None:
    for cue in cut_cues(source, limits):
        assert 1 <= len(cue.lines) <= limits.max_lines
        assert all(0 < count_columns(line) <= limits.max_line_width or not may_part(line) for line in cue.lines)
        assert all(line == " ".join(line.split()) for line in cue.lines)
        assert cue.end_ms - cue.start_ms <= 1000 * limits.max_duration_seconds + 1


def is_readable(cue: Cue, limits: SubtitleLimits) -> bool:
    seconds = (cue.end_ms - cue.start_ms) / 1000
    columns = sum(count_columns(line) for line in cue.lines)
    return seconds >= limits.min_duration_seconds - 0.002 and columns <= limits.max_characters_per_second * (
        seconds + 0.002
    )


def divisions(words: Sequence[Word]) -> Iterator[list[Sequence[Word]]]:
    for mask in range(2 ** (len(words) - 1)):
        cuts = [0, *(at + 1 for at in range(len(words) - 1) if mask >> at & 1), len(words)]
        yield [words[first:last] for first, last in pairwise(cuts)]


def could_be_readable(groups: list[Sequence[Word]], source_end: float, limits: SubtitleLimits) -> bool:
    """An independent check, word by word, of one way to cut a transcript; strict, so that rounding cannot matter."""
    starts = [group[0].start for group in groups[1:]] + [source_end + limits.min_gap_seconds]
    for group, following in zip(groups, starts, strict=True):
        used, width = 1, -1
        for word in group:
            if width + 1 + len(word.text) > limits.max_line_width:
                used, width = used + 1, -1
            width += 1 + len(word.text)
        columns = sum(len(word.text) for word in group) + len(group) - 1
        needed = max(limits.min_duration_seconds, columns / limits.max_characters_per_second)
        room = min(following - limits.min_gap_seconds - group[0].start, limits.max_duration_seconds)
        long_pause = any(after.start - before.end > 2 for before, after in pairwise(group))
        if used > limits.max_lines or group[-1].end - group[0].start > limits.max_duration_seconds or long_pause:
            return False
        if room < needed + 0.003:
            return False
    return True


@st.composite
def few_words(draw: st.DrawFn) -> Transcript:
    clock = 0
    words = []
    for _ in range(draw(st.integers(1, 7))):
        clock += draw(st.sampled_from([0, 100, 600, 1200]))
        length = draw(st.integers(50, 800))
        words.append(Word(draw(TEXT) + draw(MARK), clock / 1000, (clock + length) / 1000, 0.9))
        clock += length
    return transcript(words, duration=clock / 1000 + draw(st.integers(0, 1000)) / 1000)


@given(few_words(), LIMITS_ANY)
def test_every_limit_holds_whenever_the_words_allow_it(source: Transcript, limits: SubtitleLimits) -> None:
    words = source.segments[0].words
    possible = any(could_be_readable(way, source.duration_seconds, limits) for way in divisions(words))
    cues = cut_cues(source, limits)
    if possible:
        assert all(is_readable(cue, limits) for cue in cues)
        assert all(
            after.start_ms - before.end_ms >= 1000 * limits.min_gap_seconds - 1 for before, after in pairwise(cues)
        )
    starts = {round(1000 * word.start) for word in words}
    assert all(cue.start_ms in starts for cue in cues)


@given(st.lists(st.tuples(st.integers(-5000, 9000), st.integers(-5000, 9000)), min_size=1, max_size=30))
def test_times_that_make_no_sense_still_give_ordered_cues(times: list[tuple[int, int]]) -> None:
    words = tuple(Word(f"w{at}.", start / 1000, end / 1000, 0.9) for at, (start, end) in enumerate(times))
    cues = cut_cues(Transcript(4.0, (Segment(0.0, 4.0, "", words),)), LIMITS)
    assert " ".join(line for cue in cues for line in cue.lines).split() == [word.text for word in words]
    assert all(0 <= cue.start_ms < cue.end_ms <= 4000 for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
