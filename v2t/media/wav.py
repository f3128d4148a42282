"""Write chunks as 16 kHz mono 16-bit WAV, the one format that every engine reads."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v2t.domain.errors import DISK_FULL, StorageFull, StorageUnwritable
from v2t.domain.jobs import SAMPLE_RATE


def write_wav(path: Path, parts: Sequence[NDArray[np.int16]]) -> None:
    """Write the parts one after the other.

    Raises:
        StorageFull: no space or quota is left.
        StorageUnwritable: the folder cannot be written. In both cases nothing is left at `path`.
    """
    try:
        with path.open("wb") as file, wave.open(file, "wb") as output:
            output.setnchannels(1)
            output.setsampwidth(2)
            output.setframerate(SAMPLE_RATE)
            output.setnframes(sum(len(part) for part in parts))
            for part in parts:
                output.writeframesraw(part.astype("<i2", copy=False).tobytes())
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno in DISK_FULL:
            raise StorageFull("no space is left for the audio chunks; free some and run the command again") from error
        raise StorageUnwritable(f"the audio chunks cannot be written: {error.strerror}; check the folder") from error
