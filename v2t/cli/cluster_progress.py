"""How a playbook comes along, on stderr: a line a host that changes at a terminal, a line a role and host elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from v2t.cli.output import is_terminal, printable, say

if TYPE_CHECKING:
    from rich.text import Text

    from v2t.cluster.journal import Redaction
    from v2t.cluster.progress import Outcome, RoleOnHost, Run


@contextmanager
def open_progress(*, diff: bool, redaction: Redaction) -> Iterator[Callable[[Run, Sequence[Outcome]], None]]:
    """Show a run while the body goes on; yields what to call after each event."""
    if not is_terminal():
        yield _Lines(say, diff=diff, redaction=redaction).show
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    board = _Board(
        lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True), diff=diff, redaction=redaction
    )
    with Live(get_renderable=board.draw, console=console, refresh_per_second=4, transient=True):
        yield board.show


class _Lines:
    """A line for each role on each host as it ends, and the differences as they come."""

    def __init__(self, tell: Callable[[str], None], *, diff: bool, redaction: Redaction) -> None:
        self._tell = tell
        self._diff = diff
        self._redaction = redaction
        self._began = time.monotonic()

    def show(self, run: Run, outcomes: Sequence[Outcome]) -> None:
        """Tell what is new."""
        from v2t.cluster.journal import diff_lines

        for entry in run.finish():
            self._tell(f"{clock(self.seconds)} {describe(entry)}")
        for outcome in outcomes if self._diff else ():
            for details in (outcome.details, *outcome.details.get("results", ())):
                lines = [self._redaction.hide(line) for line in diff_lines(details)]
                for line in [f"{outcome.host}: {outcome.task}", *lines] if lines else ():
                    self._tell(printable(line.expandtabs()))

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began


class _Board(_Lines):
    """The same, and below it what every host does now."""

    _run: Run | None = None

    def show(self, run: Run, outcomes: Sequence[Outcome]) -> None:
        """Tell what is new, and remember the rest for the next drawing."""
        self._run = run
        super().show(run, outcomes)

    def draw(self) -> Text:
        """What is done now; the clock goes on while nothing happens."""
        from rich.text import Text

        run = self._run
        head = (
            f"{clock(self.seconds)} {run.role}: {run.task}" if run and run.task else f"{clock(self.seconds)} starting"
        )
        entries = run.open.values() if run else ()
        lines = (head, *(f"     {describe(entry)}" for entry in entries))
        return Text("\n".join(printable(line) for line in lines), no_wrap=True, overflow="ellipsis")


def describe(entry: RoleOnHost) -> str:
    """A role on a host in a line."""
    counts = [f"{entry.ok} ok"]
    counts += [f"{entry.changed} changed"] if entry.changed else []
    counts += [f"{entry.failed} failed"] if entry.failed else []
    return printable(f"{entry.role} on {entry.host}: {', '.join(counts)}, {entry.seconds:.0f} s")


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
