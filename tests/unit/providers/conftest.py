from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A recording for servers that do not listen."""
    file = tmp_path / "0.wav"
    file.write_bytes(b"RIFF")
    return file
