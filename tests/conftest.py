"""What all tests share: hermetic settings, and model files placed once a run."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["support.servers.plugin"]

_MODELS = "V2T_TEST_MODELS"
"""Names, to all processes of a run, the folder of its model files; set from outside, it is kept for the next run."""

_own_folder = pytest.StashKey[str]()


# A machine that is busy is slow, which says nothing of the code.
settings.register_profile("v2t", deadline=None)
settings.load_profile("v2t")


def pytest_configure(config: pytest.Config) -> None:
    # a shell gives what it starts in the background an ignored Ctrl-C, which the commands under test would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _MODELS not in os.environ:
        config.stash[_own_folder] = os.environ[_MODELS] = tempfile.mkdtemp(prefix="v2t-test-models-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder := config.stash.get(_own_folder, ""):
        del os.environ[_MODELS]
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("V2T_") and name != _MODELS:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """Where the model files of this run are; `ModelStore` lets one process place each of them."""
    return Path(os.environ[_MODELS])


@pytest.fixture(scope="session")
def samples() -> Path:
    return Path(__file__).parents[1] / "samples"
