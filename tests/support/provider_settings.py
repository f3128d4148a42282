"""Settings with a provider on another machine and a rule that names it, and what the commands say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

_SETTINGS = """
[whisper_server]
url = "http://127.0.0.1:9"
dollars_per_minute = 0.001

[selection]
chain = ["local"]

[[selection.rules]]
name = "long ones go elsewhere"
provider = "whisper_server"
longer_than_minutes = 10
"""


def write_settings(folder: Path) -> Path:
    """The file of settings, for data in that folder; V2T_CONFIG is to name it."""
    path = folder / "v2t.toml"
    path.write_text(f'[standalone]\nfolder = "{folder / "data"}"\n{_SETTINGS}')
    return path


def data(outcome: Result, exit_code: int = 0) -> dict[str, Any]:
    """What a command that ended so has printed as JSON, strictly: no Infinity, no NaN."""
    assert outcome.exit_code == exit_code, outcome.output
    found: dict[str, Any] = json.loads(outcome.stdout, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    return dict(found["data"])
