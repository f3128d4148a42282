from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import Command


@pytest.fixture
def v2t(tmp_path: Path, models_folder: Path) -> Iterator[Command]:
    """The command with nothing stored; at the end nothing of it may run."""
    command = Command(tmp_path / "v2t", models_folder)
    command.folder.mkdir()
    yield command
    command.close()


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[Command]:
    """The command with a cluster that is kept up, for tests that only look at the answer."""
    command = Command(
        tmp_path_factory.mktemp("kept"),
        models_folder,
        # one slot: what a test leaves to be computed takes no time from the commands
        {"V2T_MODELS__DEFAULT": "tiny.en", "V2T_AUDIO__CHUNK_SECONDS": "12", "V2T_ENGINE__SLOTS": "1"},
    )
    assert command.run("models", "pull", "tiny.en").exit_code == 0
    assert command.run("up").exit_code == 0
    yield command
    command.close()
