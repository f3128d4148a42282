"""How a batch comes along, on stderr: one bar at a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from v2t.cli.output import is_terminal, say
from v2t.cli.progress import open_bars

if TYPE_CHECKING:
    from v2t.client.batches import BatchView

_PLAIN_EVERY_SECONDS = 10.0

Update = Callable[["BatchView"], None]


@contextmanager
def open_batch_display(files: int, *, quiet: bool) -> Iterator[Update]:
    """Show how a batch of so many files comes along; yields what to call with each view of it."""
    if quiet:
        yield lambda _view: None
    elif is_terminal():
        with open_bars() as bars:
            task = bars.add_task("files", total=files or None, stage="starting", left="")
            pace = _Pace()

            def update(view: BatchView) -> None:
                if view.progress:
                    done = view.progress.totals.files
                    left = pace.left(done, view.progress.files)
                    bars.update(
                        task, completed=done, total=view.progress.files, stage=describe(view), left=_estimate(left)
                    )

            yield update
    else:
        yield _lines()


def describe(view: BatchView) -> str:
    """Done, failed and left, in words."""
    progress = view.progress
    if progress is None:
        return view.state.value
    totals = progress.totals
    words = [f"{totals.completed} done"]
    if totals.failed:
        words.append(f"{totals.failed} failed")
    if totals.cancelled:
        words.append(f"{totals.cancelled} cancelled")
    words.append(f"{progress.files - totals.files} left")
    if progress.paused:
        words.append("paused")
    return ", ".join(words)


class _Pace:
    """The time left, from the files done since it was first looked at."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._first: int | None = None

    def left(self, done: int, files: int) -> float:
        """Seconds; 0 while unknown."""
        if self._first is None:
            self._first, self._since = done, time.monotonic()
        finished = done - self._first
        return (time.monotonic() - self._since) / finished * (files - done) if finished else 0.0


def _lines() -> Update:
    pace, said = _Pace(), time.monotonic()

    def update(view: BatchView) -> None:
        nonlocal said
        now = time.monotonic()
        if view.progress is None:
            return
        left = pace.left(view.progress.totals.files, view.progress.files)
        if now - said >= _PLAIN_EVERY_SECONDS:
            said = now
            say(describe(view) + (f", {_estimate(left)}" if left else ""))

    return update


def _estimate(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left" if seconds else ""
