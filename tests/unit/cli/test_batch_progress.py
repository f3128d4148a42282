from __future__ import annotations

from types import SimpleNamespace

import pytest

from v2t.cli.batch_progress import describe, open_batch_display
from v2t.client.batches import BatchView
from v2t.domain.batches import BatchProgress, BatchTotals
from v2t.domain.jobs import JobState


def view(completed: int, failed: int = 0, *, files: int = 10, paused: bool = False) -> BatchView:
    progress = BatchProgress(files, BatchTotals(completed, failed), 1, paused)
    return BatchView("b-1", JobState.RUNNING, 1.0, 0.0, progress)


def test_done_failed_and_left() -> None:
    assert describe(view(3)) == "3 done, 7 left"
    assert describe(view(3, 2, paused=True)) == "3 done, 2 failed, 5 left, paused"
    assert describe(BatchView("b-1", JobState.RUNNING, 1.0, 0.0)) == "running"


def test_elsewhere_than_at_a_terminal_there_are_a_few_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("v2t.cli.batch_progress.time", SimpleNamespace(monotonic=lambda: clock[0]))
    with open_batch_display(10, quiet=False) as update:
        for second in range(0, 25, 5):
            clock[0] = float(second)
            update(view(second // 5))
    assert capsys.readouterr().err.splitlines() == ["v2t: 2 done, 8 left, 0:40 left", "v2t: 4 done, 6 left, 0:30 left"]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with open_batch_display(10, quiet=True) as update:
        update(view(1))
    assert capsys.readouterr().err == ""
