from __future__ import annotations

import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from v2t.domain.errors import AudioRefused, EmptyInput, NotAudio, StorageFull
from v2t.media.cutting import cut_window
from v2t.media.voice import Frames

Wave = NDArray[np.int16]
Make = Callable[..., Path]
Spans = list[tuple[int, int]]


def silence(seconds: float) -> Wave:
    return np.zeros(round(seconds * 16_000), np.int16)


def hiss(seconds: float) -> Wave:
    return (np.random.default_rng(0).normal(size=round(seconds * 16_000)) * 60).astype(np.int16)


class Cutting:
    """Cuts files window by window, as the workflow does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress: list[float] = []

    def window(self, source: Path, **changes: Any) -> dict[str, Any]:
        payload = {
            "source": str(source),
            "folder": str(self.folder),
            "start": 0.0,
            "window_seconds": 1e6,
            "first_index": 0,
            "slots": 1,
            "target_seconds": 118.0,
            "max_seconds": 360_000.0,
        }
        return cut_window(payload | changes, lambda event: self.progress.append(event["progress"]))

    def windows(self, source: Path, window_seconds: float, **changes: Any) -> Iterator[dict[str, Any]]:
        start, index, finished = 0.0, 0, False
        while not finished:
            result = self.window(source, start=start, window_seconds=window_seconds, first_index=index, **changes)
            yield result
            start, finished = result["next_start"], result["finished"]
            index += len(result["chunks"])

    def samples(self, index: int) -> Wave:
        with wave.open(str(self.folder / f"{index}.wav")) as file:
            return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.fixture
def cutting(tmp_path: Path) -> Cutting:
    folder = tmp_path / "chunks"
    folder.mkdir()
    return Cutting(folder)


def to_samples(spans: list[list[float]]) -> Spans:
    return [(round(start * 16_000), round((start + length) * 16_000)) for start, length in spans]


def pieces_of(*results: dict[str, Any]) -> Spans:
    return [span for result in results for chunk in result["chunks"] for span in to_samples(chunk["pieces"])]


def silences_of(*results: dict[str, Any]) -> Spans:
    return [span for result in results for span in to_samples(result["silences"])]


def assert_tiles(spans: Spans, end: int) -> None:
    position = 0
    for first, last in sorted(spans):
        assert first == position
        assert last > first
        position = last
    assert position == end


def test_a_short_file_is_one_chunk_with_every_sample(cutting: Cutting, make_wav: Make, speech: Wave) -> None:
    result = cutting.window(make_wav("a.wav", speech))
    assert result["chunks"] == [{"index": 0, "pieces": [[0.0, 11.0]], "last_round": False}]
    assert (result["silences"], result["finished"], result["warnings"]) == ([], True, [])
    assert result["next_start"] == result["duration_seconds"] == 11.0
    assert result["offset_seconds"] == 0.0
    assert result["decode_seconds"] > 0
    assert (cutting.samples(0) == speech).all()


def test_speech_between_silences_is_found_at_its_place(cutting: Cutting, make_wav: Make, speech: Wave) -> None:
    audio = np.concatenate((hiss(20), speech, hiss(30), speech, hiss(15)))
    result = cutting.window(make_wav("a.wav", audio))
    (chunk,) = result["chunks"]
    first, second = (span for span in chunk["pieces"])
    # in jfk.wav the first word begins at 0.3 s and the last ends at 10.4 s; 0.4 s are kept around speech
    assert first[0] == pytest.approx(20.3 - 0.4, abs=0.3)
    assert first[0] + first[1] == pytest.approx(30.5 + 0.4, abs=0.4)
    assert second[0] == pytest.approx(61.3 - 0.4, abs=0.3)
    assert second[0] + second[1] == pytest.approx(71.5 + 0.4, abs=0.4)
    assert_tiles(pieces_of(result) + silences_of(result), len(audio))


def test_a_chunk_s_file_holds_its_pieces_sample_by_sample(cutting: Cutting, make_wav: Make, speech: Wave) -> None:
    audio = np.concatenate((hiss(5), speech, hiss(10), speech))
    cut = cutting.window(make_wav("a.wav", audio))
    expected = np.concatenate([audio[first:end] for first, end in pieces_of(cut)])
    assert (cutting.samples(0) == expected).all()


def test_a_video_s_later_sound_is_placed_on_its_timeline(cutting: Cutting, make_media: Make, speech: Wave) -> None:
    audio = np.concatenate((silence(5), speech, silence(5)))
    video = make_media("a.mp4", "aac", audio, rate=16_000, video_seconds=22, delay=1.5)
    result = cutting.window(video)
    assert result["offset_seconds"] == pytest.approx(1.5, abs=0.07)
    assert result["chunks"][0]["pieces"][0][0] == pytest.approx(1.5 + 5.3 - 0.4, abs=0.3)
    assert result["duration_seconds"] == pytest.approx(22.5, abs=0.1)
    assert_tiles(pieces_of(result) + silences_of(result), round(result["duration_seconds"] * 16_000))


def test_windows_lose_and_double_no_sample_and_hear_the_same(
    cutting: Cutting, make_wav: Make, speech: Wave, reading: Wave
) -> None:
    audio = np.concatenate((hiss(3.3), reading, hiss(1.1), speech, silence(9), reading, hiss(20), reading))[:-77]
    path = make_wav("a.wav", audio)
    whole = cutting.window(path, slots=2, target_seconds=35.0)
    parts = list(cutting.windows(path, 30.0, slots=2, target_seconds=35.0))
    assert len(parts) >= 3
    assert_tiles(pieces_of(*parts) + silences_of(*parts), len(audio))
    assert_tiles(pieces_of(whole) + silences_of(whole), len(audio))
    assert [chunk["index"] for part in parts for chunk in part["chunks"]] == list(range(len(whole["chunks"])))
    heard, heard_in_parts = np.zeros(len(audio), bool), np.zeros(len(audio), bool)
    for mask, spans in ((heard, pieces_of(whole)), (heard_in_parts, pieces_of(*parts))):
        for first, end in spans:
            mask[first:end] = True
    assert int((heard != heard_in_parts).sum()) < 0.1 * 16_000


def test_a_window_that_begins_within_speech_knows_it(
    cutting: Cutting, make_wav: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Doubtful:
        """Is sure of speech in the first frame, and never again that it is over."""

        def listen(self, samples: Wave) -> Frames:
            probabilities = np.full(-(-len(samples) // 512), 0.4, np.float32)
            probabilities[0] = 0.9
            return Frames(probabilities, np.full(len(probabilities), -20, np.float32))

    monkeypatch.setattr("v2t.media.cutting.VoiceDetector", Doubtful)
    path = make_wav("a.wav", hiss(16))
    assert pieces_of(cutting.window(path, start=8.0)) == [(8 * 16_000, 16 * 16_000)]


def test_windows_of_an_encoded_file_join_to_the_sample(cutting: Cutting, make_media: Make, reading: Wave) -> None:
    path = make_media("a.mp3", "libmp3lame", np.concatenate((reading, reading, reading)), rate=16_000)
    parts = list(cutting.windows(path, 28.0, target_seconds=28.0))
    chunks = np.concatenate([cutting.samples(index) for index in range(sum(len(part["chunks"]) for part in parts))])
    whole = cutting.window(path, target_seconds=1000.0)
    assert len(parts) >= 2
    assert (chunks == cutting.samples(0)).all()
    assert pieces_of(whole) == [(0, round(whole["duration_seconds"] * 16_000))]


def test_a_window_ends_in_a_pause(cutting: Cutting, make_wav: Make, reading: Wave) -> None:
    audio = np.concatenate([reading] * 4)
    first, *_ = cutting.windows(make_wav("a.wav", audio), 30.0, target_seconds=30.0)
    cut = round(first["next_start"] * 16_000)
    assert first["next_start"] >= 30.0
    assert not first["finished"]
    assert first["duration_seconds"] == pytest.approx(len(audio) / 16_000, abs=0.01)
    around = np.abs(audio[cut - 800 : cut + 800].astype(np.int32)).max()
    assert around < 0.1 * np.abs(reading.astype(np.int32)).max()


def test_chunks_of_a_talk_fill_the_slots_evenly(cutting: Cutting, make_wav: Make, reading: Wave) -> None:
    result = cutting.window(make_wav("a.wav", np.concatenate([reading] * 9)), slots=2)
    lengths = [sum(length for _, length in chunk["pieces"]) for chunk in result["chunks"]]
    assert [chunk["last_round"] for chunk in result["chunks"]] == [False] * 2 + [True] * 4  # halves
    whole, halves = lengths[:2], lengths[2:]
    assert max(whole) < 1.25 * min(whole)
    assert max(halves) < 1.4 * min(halves)  # a sentence is a larger part of them
    assert sum(halves) == pytest.approx(sum(whole), rel=0.15)


def test_an_hour_of_digital_silence_is_quick_and_gives_no_chunk(cutting: Cutting, make_wav: Make) -> None:
    path = make_wav("a.wav", np.zeros(3600 * 8000, np.int16), 8000)
    started = time.process_time()
    result = cutting.window(path, window_seconds=240.0)
    assert time.process_time() - started < 15
    assert (result["chunks"], result["finished"]) == ([], True)
    assert result["silences"] == [[0.0, pytest.approx(3600.0, abs=0.01)]]
    assert list(cutting.folder.iterdir()) == []


def test_a_tenth_of_a_second_works(cutting: Cutting, make_wav: Make) -> None:
    result = cutting.window(make_wav("a.wav", hiss(0.1)))
    assert (result["finished"], result["duration_seconds"]) == (True, 0.1)
    assert_tiles(pieces_of(result) + silences_of(result), 1600)


def test_a_window_behind_the_end_is_finished_and_empty(cutting: Cutting, make_wav: Make, speech: Wave) -> None:
    result = cutting.window(make_wav("a.wav", speech), start=11.0, first_index=1)
    assert (result["chunks"], result["silences"], result["finished"]) == ([], [], True)
    assert result["next_start"] == result["duration_seconds"] == 11.0


def test_progress_grows_to_one(cutting: Cutting, make_wav: Make, speech: Wave) -> None:
    cutting.window(make_wav("a.wav", np.concatenate((hiss(60), speech))))
    assert cutting.progress == sorted(cutting.progress)
    assert cutting.progress[-1] == pytest.approx(1.0)
    assert len(cutting.progress) > 3


def test_warnings_come_with_the_last_window_only(cutting: Cutting, make_wav: Make, reading: Wave) -> None:
    path = make_wav("a.wav", np.concatenate([reading] * 6))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    first, *_, last = cutting.windows(path, 30.0)
    assert first["warnings"] == []
    assert len(last["warnings"]) == 1
    assert "ends early" in last["warnings"][0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device without space")
def test_a_full_disk_is_told(cutting: Cutting, make_wav: Make, speech: Wave) -> None:
    (cutting.folder / "0.wav").symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        cutting.window(make_wav("a.wav", speech))
    assert list(cutting.folder.iterdir()) == []


def test_hopeless_files_are_refused(cutting: Cutting, make_wav: Make, tmp_path: Path, speech: Wave) -> None:
    with pytest.raises(AudioRefused):
        cutting.window(make_wav("long.wav", speech), max_seconds=10.0)
    (tmp_path / "empty.wav").touch()
    with pytest.raises(EmptyInput):
        cutting.window(tmp_path / "empty.wav")
    (tmp_path / "text.wav").write_text("no audio\n" * 100)
    with pytest.raises(NotAudio):
        cutting.window(tmp_path / "text.wav")
