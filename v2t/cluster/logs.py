"""Journals of several hosts: the command that reads one, and their lines in one order."""

from __future__ import annotations

import heapq
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+\d{4} ")


def journal_command(unit: str, *, lines: int | None, since: str = "", follow: bool = False) -> str:
    """The command line that reads the journal of a host's unit, of all its instances where it is a pattern."""
    return shlex.join(
        [
            *("journalctl", "--quiet", "--no-pager", "--no-hostname", "--utc", "--output=short-iso-precise"),
            f"--unit={unit}",
            f"--lines={'all' if lines is None else lines}",
            *((f"--since={since}",) if since else ()),
            *(("--follow",) if follow else ()),
        ]
    )


def merge(texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Lines of several hosts in the order of their times: (host, line). A line without one follows that before it.

    Args:
        texts: host → its lines, in order.
    """
    streams: Sequence[Iterator[tuple[str, int, int, str, str]]] = [
        _timed(place, host, text) for place, (host, text) in enumerate(texts.items())
    ]
    return [(host, line) for *_, host, line in heapq.merge(*streams)]


def _timed(place: int, host: str, text: str) -> Iterator[tuple[str, int, int, str, str]]:
    stamp = ""
    for number, line in enumerate(text.splitlines()):
        found = _STAMP.match(line)
        stamp = found[0] if found else stamp
        yield stamp, place, number, host, line
