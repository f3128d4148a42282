from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from v2t.workflows.transcribe_file import TranscribeFile

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_job_of_an_earlier_version_goes_on(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text())  # noqa: ASYNC240 - a small file
    await Replayer(workflows=[TranscribeFile]).replay_workflow(history)


def test_there_are_histories() -> None:
    assert {path.stem for path in HISTORIES} >= {
        "cancelled",
        "failed",
        "host_gone",
        "host_queue",
        "language_vote",
        "long",
        "paused",
        "retried_chunk",
        "searchable_failed",
        "searchable_short",
        "short",
        "small",
        "small_and_failed",
        "small_but_long",
        "stored",
    }
