from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from v2t.cli.progress import open_display, open_watch, percent
from v2t.client import JobView
from v2t.domain.jobs import JobState, Progress, Stage
from v2t.standalone import Cluster
from v2t.submission import Submission


def view(finished: float, *, running: float = 0.0, duration: float = 100.0, **changes: Any) -> JobView:
    progress = Progress(changes.pop("stage", Stage.TRANSCRIBING), duration, finished, 1, 2)
    return JobView("t-a", JobState.RUNNING, 0.0, 0.0, progress, running, **changes)


def cluster(*, owned: bool, slots: int = 2) -> Cluster:
    return cast("Cluster", SimpleNamespace(remote=False, owned=owned, slots=slots))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time; tests move it."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (view(0.0), 0.0),
        (view(30.0, running=20.0), 50.0),
        (view(90.0, running=20.0), 100.0),
        (view(30.0, duration=0.0), 0.0),
        (JobView("t-a", JobState.RUNNING, 0.0, 0.0), 0.0),
    ],
)
def test_percent_counts_what_is_finished_and_what_is_running(seen: JobView, expected: float) -> None:
    assert percent(seen) == expected


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    submission = Submission(Path("talks/a\n.wav"))
    with open_display([submission], engine="fast, model base", quiet=False) as display:
        display.opened(cluster(owned=True))
        for second in range(25):
            clock[0] = float(second)
            display.update(submission, view(2.0 * second))
    assert capsys.readouterr().err.splitlines() == [
        "v2t: engine: fast, model base, 2 at a time",
        "v2t: a\\n.wav: 20 %, transcribing, 2.0x real time, 40 s left",
        "v2t: a\\n.wav: 40 %, transcribing, 2.0x real time, 30 s left",
    ]


def test_a_cluster_of_another_process_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with open_display([], engine="fast", quiet=False) as display:
        display.opened(cluster(owned=False))
    assert capsys.readouterr().err == "v2t: engine: fast, on the cluster that `v2t up` keeps\n"


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    submission = Submission(Path("a.wav"))
    with open_display([submission], engine="fast", quiet=True) as display:
        display.opened(cluster(owned=True))
        display.update(submission, view(1.0))
        clock[0] = 100.0
        display.update(submission, view(50.0))
    assert capsys.readouterr() == ("", "")


def test_a_retry_and_its_reason_are_told(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    with open_watch("t-a") as update:
        update(view(0.0))
        clock[0] = 11.0
        update(view(0.0, stage=Stage.QUEUED, attempt=2, last_failure="It\ndied."))
    assert capsys.readouterr().err == "v2t: t-a: 0 %, queued, attempt 2 after: It\\ndied.\n"


def test_a_terminal_gets_a_bar_for_each_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v2t.cli.progress.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("FORCE_COLOR", "1")
    submissions = [Submission(Path("[bold]a.wav")), Submission(Path("b.wav"))]
    with open_display(submissions, engine="fast", quiet=False) as display:
        display.opened(cluster(owned=True))
        display.update(submissions[0], view(50.0))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[bold]a.wav" in shown.err
    assert "b.wav" in shown.err
    assert "50%" in shown.err
    assert "engine: fast, 2 at a time" in shown.err
