from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from v2t.media.silence import FRAMES_PER_SECOND, ChunkLengths, ChunkPlan, chunk_lengths, find_speech, plan_chunk

Probabilities = NDArray[np.float32]


def frames(seconds: float) -> int:
    return round(seconds * FRAMES_PER_SECOND)


def talk(*parts: tuple[float, float]) -> Probabilities:
    """Seconds at a probability, one after the other."""
    return np.concatenate([np.full(frames(seconds), value, np.float32) for seconds, value in parts])


def plan(probabilities: Probabilities, seconds: float = 100.0, **options: bool) -> ChunkPlan | None:
    levels = np.full(len(probabilities), -20.0, np.float32)
    options = {"final": True, **options}
    return plan_chunk(probabilities, levels, seconds=seconds, **options)


def plan_all(probabilities: Probabilities, seconds: float = 100.0) -> list[ChunkPlan]:
    plans, start, speaking = [], 0, False
    while start < len(probabilities):
        found = plan(probabilities[start:], seconds, speaking=speaking)
        assert found is not None
        plans.append(found)
        start += found.consumed
        speaking = found.speaking
    return plans


def test_speech_begins_at_the_upper_and_ends_at_the_lower_threshold() -> None:
    speech = find_speech(np.array([0.4, 0.45, 0.5, 0.4, 0.36, 0.34, 0.4, 0.45], np.float32))
    assert speech.tolist() == [False, False, True, True, True, False, False, False]


def test_speech_that_was_going_on_goes_on_below_the_upper_threshold() -> None:
    doubtful = np.array([0.4, 0.4, 0.2], np.float32)
    assert find_speech(doubtful, speaking=True).tolist() == [True, True, False]
    assert find_speech(doubtful).tolist() == [False, False, False]


def test_a_click_shorter_than_a_tenth_of_a_second_is_not_speech() -> None:
    assert not find_speech(talk((1, 0), (0.064, 1), (1, 0))).any()
    assert find_speech(talk((1, 0), (0.096, 1), (1, 0))).sum() == 3


def test_speech_cut_off_by_the_region_s_end_is_kept_however_short() -> None:
    assert find_speech(talk((1, 0), (0.032, 1))).sum() == 1


def test_a_short_file_is_one_chunk_with_everything() -> None:
    found = plan(talk((0.5, 0), (20, 1), (1.5, 0), (10, 1), (0.5, 0)))
    assert found is not None
    assert found.pieces == ((0, found.consumed),)
    assert found.silences == ()


def test_no_speech_gives_no_chunk() -> None:
    found = plan(talk((50, 0.1)))
    assert found == ChunkPlan((), ((0, frames(50)),), frames(50), speaking=False)


def test_silence_without_end_is_given_up_but_for_the_padding_of_coming_speech() -> None:
    found = plan(talk((50, 0.1)), final=False)
    assert found is not None
    assert found.pieces == ()
    assert frames(50) - found.consumed >= frames(0.4)
    assert plan(talk((0.5, 0.1)), final=False) is None


def test_a_pause_over_two_seconds_is_left_out_with_padding_on_both_sides() -> None:
    found = plan(talk((10.24, 1), (5.12, 0), (10.24, 1)))
    assert found is not None
    (_, first_end), (second_start, _) = found.pieces
    assert first_end == frames(10.24) + 12
    assert second_start == frames(15.36) - 12
    assert found.silences == ((first_end, second_start),)


def test_more_audio_is_awaited_before_a_cut_is_chosen() -> None:
    assert plan(talk((110, 1)), final=False) is None
    assert plan(talk((116, 1)), final=False) is not None


def test_the_cut_is_in_the_middle_of_the_longest_pause_near_the_wished_length() -> None:
    found = plan(talk((70, 1), (1.6, 0), (22, 1), (0.96, 0), (5, 1), (0.48, 0), (60, 1)))
    assert found is not None
    assert found.consumed == pytest.approx(frames(70 + 1.6 + 22 + 0.48), abs=1)
    assert not found.speaking


def test_a_pause_further_away_is_taken_when_there_is_no_better() -> None:
    found = plan(talk((70, 1), (0.16, 0), (90, 1)))
    assert found is not None
    assert found.consumed == pytest.approx(frames(70.08), abs=1)


def test_without_a_pause_the_least_likely_tenth_of_a_second_is_cut() -> None:
    found = plan(talk((90, 0.99), (0.2, 0.6), (80, 0.99)))
    assert found is not None
    assert found.consumed == pytest.approx(frames(90.1), abs=3)
    assert found.speaking


def test_among_equal_probabilities_the_quietest_place_is_cut() -> None:
    probabilities = talk((160, 1.0))
    levels = np.full(len(probabilities), -15.0, np.float32)
    levels[frames(80) : frames(80.3)] = -45.0
    found = plan_chunk(probabilities, levels, seconds=100, final=True)
    assert found is not None
    assert frames(80) < found.consumed < frames(80.3)


def test_both_halves_of_a_cut_pause_stay_where_the_whole_would_have_stayed() -> None:
    first, second = plan_all(talk((95, 1), (1.92, 0), (95, 1)))
    assert first.silences == second.silences == ()


def test_both_halves_of_a_cut_pause_go_where_the_whole_would_have_gone() -> None:
    first, second = plan_all(talk((95, 1), (3, 0), (95, 1)))
    assert first.silences == ((frames(95) + 12, first.consumed),)
    assert second.silences[0][0] == 0


def test_rare_speech_goes_into_one_chunk_until_it_is_worth_a_window_of_the_engine() -> None:
    found = plan_all(talk(*([(3.0, 1.0), (57.0, 0.0)] * 8)))
    assert len([each for each in found if each.pieces]) == 1


def test_rare_speech_does_not_hoard_audio_without_limit() -> None:
    found = plan_all(talk(*([(0.5, 1.0), (59.5, 0.0)] * 60)))
    assert max(each.consumed for each in found) < frames(600)


@pytest.mark.parametrize(
    ("total", "slots", "expected"),
    [
        (0, 2, 118),
        (10, 4, 28),
        (70, 4, 35),
        (55, 2, 55),
        (100, 2, 50),
        (300, 2, 75),
        (472, 2, 118),
        (473, 2, 473 / 6),
        (3600, 1, 3600 / 31),
    ],
)
def test_chunks_are_balanced_over_the_slots(total: float, slots: int, expected: float) -> None:
    assert chunk_lengths(total, slots, 118).seconds == pytest.approx(expected)


@given(total=st.floats(0.1, 400_000), slots=st.integers(1, 64))
def test_the_wished_length_stays_in_bounds(total: float, slots: int) -> None:
    lengths = chunk_lengths(total, slots, 118.0)
    assert 28 <= lengths.seconds <= 118.0
    assert 28 <= lengths.next_seconds(total / 2) <= 1.5 * 118.0


@pytest.mark.parametrize(
    ("total", "slots", "whole"),
    [
        (1200, 2, 10),  # 12 of 100 s, of which the last two become four of 50 s
        (473, 2, 4),
        (600, 4, 4),
        (200, 2, math.inf),  # a single round
        (3600, 1, math.inf),  # nobody to wait for
        (0, 2, math.inf),
    ],
)
def test_the_last_of_several_rounds_is_cut_in_halves(total: float, slots: int, whole: float) -> None:
    assert chunk_lengths(total, slots, 118).whole == whole


def test_no_chunk_is_halved_below_what_an_engine_hears_at_once() -> None:
    assert chunk_lengths(1200, 2, 55).whole == math.inf


def test_an_early_or_late_cut_is_made_up_for_by_the_next_chunk() -> None:
    lengths = ChunkLengths(118, whole=2)
    assert lengths.next_seconds(0) == 118
    assert lengths.next_seconds(100) == 136
    assert lengths.next_seconds(130) == 106
    assert lengths.next_seconds(230) == 65  # here the halves begin
    assert lengths.next_seconds(240) == 55
    assert lengths.next_seconds(300) == 54
    assert ChunkLengths(28).next_seconds(13.9) == 28


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("minutes", [2, 5, 11, 60])
def test_a_talk_is_cut_into_whole_rounds(slots: int, minutes: int) -> None:
    sentences = np.random.default_rng(minutes).uniform(2, 9, 1000)
    probabilities = talk(*itertools.chain.from_iterable(((float(each), 1.0), (0.6, 0.0)) for each in sentences))
    probabilities = probabilities[: frames(minutes * 60)]
    total = len(probabilities) / FRAMES_PER_SECOND
    wished = chunk_lengths(total, slots, 118)
    lengths, start = [], 0
    while start < len(probabilities):
        found = plan(probabilities[start:], wished.next_seconds(start / FRAMES_PER_SECOND))
        assert found is not None
        start += found.consumed
        lengths.append(found.consumed / FRAMES_PER_SECOND)
    chunks = round(total / wished.seconds)
    assert chunks <= slots * math.ceil(total / (slots * 118))
    halves = 0 if wished.whole == math.inf else 2 * slots
    assert len(lengths) == chunks + halves // 2
    assert max(lengths) < 1.3 * wished.seconds
    assert max(lengths[len(lengths) - halves :], default=0) < 0.8 * wished.seconds


spoken = st.lists(
    st.tuples(st.floats(0.03, 60), st.sampled_from([0.0, 0.1, 0.34, 0.4, 0.49, 0.5, 0.9, 1.0])), min_size=1, max_size=30
)


@given(parts=spoken, seconds=st.floats(28, 150))
def test_pieces_and_silences_tile_everything_and_no_speech_is_lost(
    parts: list[tuple[float, float]], seconds: float
) -> None:
    probabilities = talk(*parts)
    kept = np.zeros(len(probabilities), int)
    left = np.zeros(len(probabilities), int)
    start = 0
    for found in plan_all(probabilities, seconds):
        assert found.consumed > 0
        for first, end in found.pieces:
            kept[start + first : start + end] += 1
        for first, end in found.silences:
            left[start + first : start + end] += 1
        start += found.consumed
    assert start == len(probabilities)
    assert (kept + left == 1).all()
    assert not (find_speech(probabilities) & (left == 1)).any()
