"""What is looked at, one after the other, when a person sets a provider up."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

from v2t.domain.jobs import SAMPLE_RATE

SAMPLE_SECONDS = 1
"""Of silence: what a provider is given to try it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str  # what was found, or why not and what to do
    seconds: float


def write_sample(path: Path) -> Path:
    """Write the silence to a file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(bytes(2 * SAMPLE_RATE * SAMPLE_SECONDS))
    return path
