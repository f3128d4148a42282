"""How jobs come along, on stderr: a bar for each file at a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from v2t.cli.output import is_terminal, printable, say
from v2t.domain.jobs import Stage

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from v2t.client import JobView
    from v2t.standalone import Cluster
    from v2t.submission import Submission

_PLAIN_EVERY_SECONDS = 10.0


class Display(Protocol):
    """What shows progress."""

    def opened(self, cluster: Cluster) -> None:
        """The cluster is open."""

    def update(self, submission: Submission, view: JobView) -> None:
        """A job stands like this now."""


@contextmanager
def open_display(submissions: Sequence[Submission], *, engine: str, quiet: bool) -> Iterator[Display]:
    """Show the progress of `submissions` while the body runs."""
    if quiet:
        yield _Nothing()
    elif is_terminal():
        with open_bars() as bars:
            yield _Bars(bars, {str(item.path): item.path.name for item in submissions}, engine)
    else:
        yield _Lines(engine)


@contextmanager
def open_watch(job_id: str) -> Iterator[Callable[[JobView], None]]:
    """Show the progress of one job while the body runs; yields what to call with each view."""
    if is_terminal():
        with open_bars() as bars:
            display = _Bars(bars, {job_id: job_id}, "")
            yield lambda view: display.show(job_id, view)
    else:
        lines = _Lines("")
        yield lambda view: lines.show(job_id, view)


def percent(view: JobView) -> float:
    """How much of the source's time is done, 0 to 100."""
    progress = view.progress
    if progress is None or not progress.duration_seconds:
        return 0.0
    return min(100.0, 100 * (progress.finished_seconds + view.running_seconds) / progress.duration_seconds)


class _Pace:
    """Speed and estimate of one job, from when it was first seen computing."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._first: float | None = None

    def measure(self, view: JobView) -> tuple[float, float]:
        """(seconds of audio a second, seconds left); zeros while unknown."""
        progress = view.progress
        if progress is None:
            return 0.0, 0.0
        done = progress.finished_seconds + view.running_seconds
        if self._first is None:
            self._first, self._since = done, time.monotonic()
        elapsed = time.monotonic() - self._since
        speed = (done - self._first) / elapsed if elapsed > 1 else 0.0
        left = max(0.0, progress.duration_seconds - done)
        return speed, left / speed if speed > 0 else 0.0


def _describe(view: JobView, speed: float) -> str:
    stage = view.progress.stage.value if view.progress else Stage.QUEUED.value
    words = [stage]
    if speed > 0:
        words.append(f"{speed:.1f}x real time")
    if view.attempt > 1 and view.last_failure:
        words.append(f"attempt {view.attempt} after: {printable(view.last_failure)}")
    return ", ".join(words)


class _Nothing:
    def opened(self, cluster: Cluster) -> None:
        """Say nothing."""

    def update(self, submission: Submission, view: JobView) -> None:
        """Say nothing."""


class _Lines:
    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._paces: dict[str, _Pace] = {}
        self._said: dict[str, float] = {}

    def opened(self, cluster: Cluster) -> None:
        say(_engine_line(self._engine, cluster))

    def update(self, submission: Submission, view: JobView) -> None:
        self.show(submission.path.name, view)

    def show(self, name: str, view: JobView) -> None:
        speed, left = self._paces.setdefault(view.job_id, _Pace()).measure(view)
        now = time.monotonic()
        if view.progress is None or now - self._said.setdefault(view.job_id, now) < _PLAIN_EVERY_SECONDS:
            return
        self._said[view.job_id] = now
        estimate = f", {left:.0f} s left" if left else ""
        say(f"{name}: {percent(view):.0f} %, {_describe(view, speed)}{estimate}")


class _Bars:
    def __init__(self, bars: Bars, names: Mapping[str, str], engine: str) -> None:
        self._bars = bars
        self._engine = engine
        self._paces: dict[str, _Pace] = {}
        self._tasks: dict[str, TaskID] = {
            key: bars.add_task(printable(name), total=100, stage="starting", left="") for key, name in names.items()
        }

    def opened(self, cluster: Cluster) -> None:
        self._bars.console.print(_engine_line(self._engine, cluster), style="dim", highlight=False, markup=False)

    def update(self, submission: Submission, view: JobView) -> None:
        self.show(str(submission.path), view)

    def show(self, key: str, view: JobView) -> None:
        speed, left = self._paces.setdefault(view.job_id, _Pace()).measure(view)
        minutes, seconds = divmod(round(left), 60)
        self._bars.update(
            self._tasks[key],
            completed=percent(view),
            stage=_describe(view, speed),
            left=f"{minutes}:{seconds:02d} left" if left else "",
        )


def _engine_line(engine: str, cluster: Cluster) -> str:
    if cluster.remote:
        where = "on the cluster"
    else:
        where = f"{cluster.slots} at a time" if cluster.owned else "on the cluster that `v2t up` keeps"
    return f"engine: {engine}, {where}"


@contextmanager
def open_bars() -> Iterator[Bars]:
    """Bars on stderr; each task has the fields `stage` and `left`."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn
    from rich.text import Text

    class Field(ProgressColumn):
        """A column of plain text: file names may look like markup."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self._name = name

        def render(self, task: Task) -> Text:
            return Text(task.description if self._name == "description" else str(task.fields[self._name]))

    columns = (Field("description"), BarColumn(), TaskProgressColumn(), Field("stage"), Field("left"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield bars
