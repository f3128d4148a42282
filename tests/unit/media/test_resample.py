from __future__ import annotations

import av
import numpy as np
import pytest

from v2t.domain.errors import AudioRefused
from v2t.media.resample import Resampler

SCALES = {"u8": (np.uint8, 128, 128), "s16": (np.int16, 32767, 0), "fltp": (np.float32, 1, 0)}


def frame(sample_format: str, layout: str, rate: int, value: float, count: int = 4800) -> av.AudioFrame:
    kind, scale, zero = SCALES[sample_format]
    channels = av.AudioLayout(layout).nb_channels
    rows, columns = (channels, count) if sample_format.endswith("p") else (1, count * channels)
    samples = np.full((rows, columns), value * scale + zero).astype(kind)
    made = av.AudioFrame.from_ndarray(samples, format=sample_format, layout=layout)
    made.sample_rate = rate
    return made


def feed(resampler: Resampler, *frames: av.AudioFrame) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    pieces = [piece for each in frames for piece in resampler.feed(each)]
    return np.concatenate([*pieces, *resampler.drain()])


@pytest.mark.parametrize(
    ("sample_format", "layout"),
    [
        ("u8", "mono"),
        ("u8", "stereo"),
        ("u8", "12 channels"),
        ("s16", "mono"),
        ("s16", "5.1"),
        ("s16", "hexadecagonal"),
        ("s16", "64 channels"),
        ("fltp", "mono"),
        ("fltp", "5.1"),
    ],
)
def test_every_sample_type_comes_out_at_the_same_level(sample_format: str, layout: str) -> None:
    samples = feed(Resampler(), frame(sample_format, layout, 48_000, 0.5))
    assert len(samples) == pytest.approx(1600, abs=2)
    assert int(samples[800]) == pytest.approx(16_384, abs=200)


def test_16_khz_mono_passes_unchanged() -> None:
    assert feed(Resampler(), frame("s16", "mono", 16_000, 0.25)).tolist() == [8191] * 4800


def test_a_format_that_changes_in_the_middle_is_followed() -> None:
    changed = feed(Resampler(), frame("s16", "stereo", 48_000, 0.5), frame("fltp", "mono", 24_000, 0.5))
    assert len(changed) == pytest.approx(1600 + 3200, abs=4)


def test_nothing_comes_out_of_an_unused_resampler() -> None:
    assert list(Resampler().drain()) == []


def test_a_rate_that_no_recording_has_is_refused() -> None:
    with pytest.raises(AudioRefused, match="500 Hz"):
        feed(Resampler(), frame("s16", "mono", 500, 0.5))
