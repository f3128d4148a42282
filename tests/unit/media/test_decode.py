from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from v2t.domain.errors import AudioRefused, EmptyInput, NotAudio
from v2t.media.decode import BLOCK_SAMPLES, Decoder, open_audio

Wave = NDArray[np.int16]
Make = Callable[..., Path]
AT = (1.0, 3.5, 6.0)


def click_track(rate: int = 48_000, seconds: float = 7.0, at: tuple[float, ...] = AT) -> Wave:
    audio = np.zeros(int(rate * seconds))
    length = int(0.004 * rate)
    for moment in at:
        first = round(moment * rate)
        audio[first : first + length] = 0.8 * np.sin(2 * np.pi * 2000 * np.arange(length) / rate)
    return np.asarray(audio * 32767, np.int16)


def find_clicks(samples: Wave, offset: int) -> list[float]:
    found: list[float] = []
    for index in np.flatnonzero(np.abs(samples.astype(np.int32)) > 6000):
        moment = float(index + offset) / 16_000
        if not found or moment - found[-1] > 0.3:
            found.append(moment)
    return found


def decode(path: Path, **options: float) -> tuple[Decoder, Wave]:
    with open_audio(path, **options) as audio:
        blocks = list(audio.blocks())
    assert all(len(block.samples) == BLOCK_SAMPLES for block in blocks[:-1])
    assert [block.start for block in blocks] == [audio.offset + index * BLOCK_SAMPLES for index in range(len(blocks))]
    return audio, np.concatenate([block.samples for block in blocks])


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wav", "pcm_s16le"),
        ("a.mp3", "libmp3lame"),
        ("a.m4a", "aac"),
        ("a.flac", "flac"),
        ("a.ogg", "libopus"),
        ("a.opus", "libopus"),
        ("a.webm", "libopus"),
        ("a.mkv", "aac"),
        ("a.mov", "pcm_s16le"),
        ("a.aiff", "pcm_s16be"),
        ("a.ac3", "ac3"),
    ],
)
def test_clicks_stand_at_their_true_time_in_every_format(make_media: Make, name: str, codec: str) -> None:
    audio, samples = decode(make_media(name, codec, click_track()))
    assert find_clicks(samples, audio.offset) == pytest.approx(AT, abs=0.025)
    assert (audio.offset + len(samples)) / 16_000 == pytest.approx(7.0, abs=0.05)
    assert audio.offset == 0
    assert audio.warnings() == ()


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.mp4", "aac"), ("v.mov", "pcm_s16le"), ("v.mkv", "libopus"), ("v.webm.mkv", "aac"), ("v.ts", "aac")],
)
def test_sound_that_begins_later_than_the_picture_keeps_its_delay(make_media: Make, name: str, codec: str) -> None:
    audio, samples = decode(make_media(name, codec, click_track(), video_seconds=8.5, delay=1.5))
    assert audio.offset / 16_000 == pytest.approx(1.5, abs=0.025)
    assert find_clicks(samples, audio.offset) == pytest.approx([moment + 1.5 for moment in AT], abs=0.025)
    assert audio.warnings() == ()


def test_a_pause_in_the_stamps_becomes_silence(make_media: Make) -> None:
    path = make_media("a.mkv", "pcm_s16le", click_track(), stamp=lambda at: at if at < 2 else at + 3)
    audio, samples = decode(path)
    assert find_clicks(samples, audio.offset) == pytest.approx([1.0, 6.5, 9.0], abs=0.025)
    assert len(samples) / 16_000 == pytest.approx(10.0, abs=0.025)


def test_audio_that_overlaps_by_its_stamps_is_trimmed(make_media: Make) -> None:
    # the muxer wants stamps that grow, so for two thirds of a second they grow at a tenth of the speed
    path = make_media("a.mkv", "pcm_s16le", click_track(), stamp=lambda at: at - min(0.6, max(0.0, at - 2) * 0.9))
    _, samples = decode(path)
    assert find_clicks(samples, 0) == pytest.approx([1.0, 2.9, 5.4], abs=0.025)
    assert len(samples) / 16_000 == pytest.approx(6.4, abs=0.025)


@pytest.mark.parametrize("speed", [0.98, 1.02])
def test_stamps_that_drift_from_the_samples_are_followed(make_media: Make, speed: float) -> None:
    path = make_media("a.mkv", "pcm_s16le", click_track(), stamp=lambda at: at * speed)
    _, samples = decode(path)
    assert find_clicks(samples, 0) == pytest.approx([moment * speed for moment in AT], abs=0.06)


def test_a_clock_that_is_reset_runs_on_and_is_reported(make_media: Make, tmp_path: Path) -> None:
    first = make_media("a.ts", "aac", click_track())
    second = make_media("b.ts", "aac", click_track(), delay=5000)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    audio, samples = decode(joined)
    assert find_clicks(samples, audio.offset) == pytest.approx([*AT, *(moment + 7 for moment in AT)], abs=0.1)
    assert any("clock" in warning for warning in audio.warnings())


def test_a_wrong_stamp_far_in_the_future_makes_no_endless_silence(make_media: Make) -> None:
    path = make_media("a.mkv", "pcm_s16le", click_track(), stamp=lambda at: at if at < 2 else at + 300_000)
    audio, samples = decode(path)
    assert len(samples) / 16_000 == pytest.approx(7.0, abs=0.05)
    assert any("clock" in warning for warning in audio.warnings())


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.wav", "pcm_s16le"), ("a.webm", "libopus")])
def test_a_truncated_file_gives_what_it_has_and_says_so(make_media: Make, name: str, codec: str) -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 48_000 * 8).astype(np.int16)
    path = make_media(name, codec, noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    audio, samples = decode(path)
    assert len(samples) / 16_000 == pytest.approx(4.0, abs=0.3)
    (warning,) = [warning for warning in audio.warnings() if "ends early" in warning]
    assert warning.endswith("of 8.0 s could be decoded")


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.flac", "flac"), ("a.webm", "libopus")])
def test_damage_in_the_middle_is_skipped_and_later_times_stay_true(make_media: Make, name: str, codec: str) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, 48_000 * 7).astype(np.int16)
    path = make_media(name, codec, noise + click_track() // 2)
    data = bytearray(path.read_bytes())
    middle = len(data) * 2 // 7
    data[middle : middle + len(data) // 20] = np.random.default_rng(1).bytes(len(data) // 20)
    path.write_bytes(data)
    audio, samples = decode(path)
    assert find_clicks(samples, audio.offset)[-1] == pytest.approx(6.0, abs=0.06)
    assert len(samples) / 16_000 == pytest.approx(7.0, abs=0.1)


def test_damaged_packets_are_counted(make_media: Make) -> None:
    path = make_media("a.mp3", "libmp3lame", click_track())
    data = bytearray(path.read_bytes())
    data[20_000:23_000] = b"\xff" * 3000
    path.write_bytes(data)
    audio, samples = decode(path)
    assert len(samples) / 16_000 > 6
    (warning,) = audio.warnings()
    assert warning.endswith("audio packets are damaged and were skipped")


def test_eight_channels_at_96_khz_are_mixed_down(make_wav: Make) -> None:
    audio = np.repeat(click_track(96_000)[:, None], 8, axis=1)
    _, samples = decode(make_wav("a.wav", audio, 96_000))
    assert find_clicks(samples, 0) == pytest.approx(AT, abs=0.025)


@pytest.mark.parametrize("channels", [3, 7, 12, 64])
def test_any_number_of_channels_up_to_64_is_mixed_down(make_wav: Make, channels: int) -> None:
    _, samples = decode(make_wav("a.wav", np.repeat(click_track(16_000)[:, None], channels, axis=1)))
    assert find_clicks(samples, 0) == pytest.approx(AT, abs=0.025)


@pytest.mark.parametrize(("rate", "channels"), [(1, 1), (10_000_000, 1), (16_000, 255)])
def test_absurd_rates_and_channel_counts_are_refused(make_wav: Make, rate: int, channels: int) -> None:
    with pytest.raises(AudioRefused):
        decode(make_wav("a.wav", np.zeros((4096, channels), np.int16), rate))


def test_audio_over_the_limit_is_refused_while_decoding(make_wav: Make) -> None:
    path = make_wav("a.wav", np.zeros(16_000 * 8, np.int16))
    decode(path, max_seconds=8.0)
    with pytest.raises(AudioRefused, match="longer than"):
        decode(path, max_seconds=7.9)


def test_a_tenth_of_a_second_decodes(make_wav: Make) -> None:
    _, samples = decode(make_wav("a.wav", np.ones(1600, np.int16)))
    assert len(samples) == 1600


def test_a_header_without_audio_is_empty(make_wav: Make) -> None:
    with pytest.raises(EmptyInput):
        decode(make_wav("a.wav", np.zeros(0, np.int16)))


def test_a_track_of_nothing_but_damage_is_not_audio(make_media: Make) -> None:
    path = make_media("a.m4a", "aac", click_track())
    data = bytearray(path.read_bytes())
    first, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[first:end] = b"\xff" * (end - first)
    path.write_bytes(data)
    with pytest.raises(NotAudio, match="damaged"):
        decode(path)
