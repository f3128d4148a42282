from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from v2t.media.voice import FRAME_SAMPLES, VoiceDetector

Wave = NDArray[np.int16]


def probabilities(samples: Wave, block_frames: int = 512) -> NDArray[np.float32]:
    detector = VoiceDetector()
    step = block_frames * FRAME_SAMPLES
    blocks = [samples[first : first + step] for first in range(0, len(samples), step)]
    return np.concatenate([detector.listen(block).probabilities for block in blocks])


def test_speech_is_heard_and_its_pauses_too(speech: Wave) -> None:
    heard = probabilities(speech)
    assert len(heard) == -(-len(speech) // FRAME_SAMPLES)
    assert 0.5 < float((heard > 0.5).mean()) < 0.75
    assert float(heard.min()) < 0.05


@pytest.mark.parametrize("block_frames", [64, 200])
def test_loud_blocks_of_any_length_give_the_same_result(speech: Wave, block_frames: int) -> None:
    assert probabilities(speech, block_frames) == pytest.approx(probabilities(speech), abs=1e-3)


@pytest.mark.parametrize("gain", [0.003, 0.001])
def test_speech_at_minus_50_and_minus_60_dbfs_is_heard(speech: Wave, gain: float) -> None:
    quiet = np.round(speech * gain).astype(np.int16)
    assert float((probabilities(quiet) > 0.5).mean()) > 0.5


@pytest.mark.parametrize("level", [0.3, 0.01, 0.0005])
def test_noise_and_hum_are_not_speech(level: float) -> None:
    noise = np.random.default_rng(0).normal(size=16_000 * 16) / 4
    hum = np.sin(2 * np.pi * 50 * np.arange(16_000 * 16) / 16_000)
    for sound in (noise, hum):
        assert float(probabilities((sound * level * 32767).astype(np.int16)).max()) < 0.35


def test_levels_are_peaks_in_dbfs() -> None:
    samples = np.zeros(4 * FRAME_SAMPLES, np.int16)
    samples[FRAME_SAMPLES] = -32768
    samples[2 * FRAME_SAMPLES] = 3277
    assert VoiceDetector().listen(samples).levels.tolist() == pytest.approx([-96.3, 0.0, -20.0, -96.3], abs=0.1)


@pytest.mark.parametrize("seconds", [4, 60, 61.44])
@pytest.mark.parametrize("before", [0, 300])
def test_speech_after_digital_silence_is_heard_like_speech_at_the_start(
    speech: Wave, seconds: float, before: int
) -> None:
    frames = round(seconds * 31.25)
    silence = np.zeros(frames * FRAME_SAMPLES, np.int16)
    heard = probabilities(np.concatenate((speech[: before * FRAME_SAMPLES], silence, speech)))
    after = heard[before + frames :]
    assert float((after > 0.5).mean()) == pytest.approx(float((probabilities(speech) > 0.5).mean()), abs=0.02)
    assert float(heard[before + 5 : before + frames].max()) < 0.05


def test_the_network_hears_half_a_second_of_silence_before_the_next_sound() -> None:
    peaks = np.zeros(300, np.int32)
    peaks[[0, 250]] = 5000
    alive = VoiceDetector()._find_alive(peaks)
    assert np.flatnonzero(~alive).tolist() == list(range(95, 234))


def test_pauses_in_very_quiet_speech_are_not_taken_for_dead_silence(speech: Wave) -> None:
    quiet = np.round(speech * 0.001).astype(np.int16)
    detector = VoiceDetector()
    assert detector._find_alive(np.abs(quiet[: 300 * 512].reshape(-1, 512)).max(axis=1).astype(np.int32)).all()


def test_an_hour_of_dead_silence_costs_next_to_nothing() -> None:
    detector = VoiceDetector()
    block = np.zeros(512 * FRAME_SAMPLES, np.int16)
    started = time.process_time()
    for _ in range(220):
        assert not detector.listen(block).probabilities.max() > 0.35
    assert time.process_time() - started < 3.0


def test_an_empty_block_is_harmless() -> None:
    assert len(VoiceDetector().listen(np.zeros(0, np.int16)).probabilities) == 0
