from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from v2t.domain.errors import StorageFull, StorageUnwritable
from v2t.media.wav import write_wav


def test_the_parts_follow_each_other_in_16_khz_mono_16_bit(tmp_path: Path) -> None:
    path = tmp_path / "0.wav"
    write_wav(path, [np.array([1, -2], np.int16), np.array([32767], np.int16)])
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert np.frombuffer(file.readframes(10), np.int16).tolist() == [1, -2, 32767]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device without space")
def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "0.wav"
    path.symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        write_wav(path, [np.zeros(100_000, np.int16)])
    assert not path.is_symlink()


def test_a_missing_folder_is_unwritable(tmp_path: Path) -> None:
    with pytest.raises(StorageUnwritable):
        write_wav(tmp_path / "gone" / "0.wav", [np.zeros(10, np.int16)])
