"""What the measurements found: each against its target, printed as a table."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """What was measured; a row without a target says something that helps to read the others."""

    what: str
    measured: str
    target: str
    met: bool


@dataclass
class Table:
    """The rows there are so far."""

    rows: list[Row] = field(default_factory=list)

    def note(self, what: str, measured: str) -> None:
        self.rows.append(Row(what, measured, "", met=True))

    def report(self, what: str, measured: str, target: str, *, met: bool) -> None:
        """Add a row, and say it at once: the whole takes long."""
        self.rows.append(Row(what, measured, target, met))
        print(f"  {what}: {measured} (target {target}) {_verdict(met=met)}", flush=True)

    def end(self, heading: str) -> None:
        """Print all rows, and end the program: with 1 where a target was missed."""
        width = max(len(row.what) for row in self.rows)
        print(f"\n{heading}")
        for row in self.rows:
            against = f"  {row.target}  {_verdict(met=row.met)}" if row.target else ""
            print(f"{row.what.ljust(width)}  {row.measured}{against}")
        sys.exit(0 if all(row.met for row in self.rows) else 1)


def _verdict(*, met: bool) -> str:
    return "met" if met else "MISSED"
