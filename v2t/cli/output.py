"""The only printer: results to stdout, talk to stderr, errors as one line, `--json` as a versioned envelope."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, ParamSpec

import click

from v2t.domain.errors import V2TError

SCHEMA = "v2t.result/1"

INTERRUPTED_EXIT_CODE = 130  # what shells give for Ctrl-C

Parameters = ParamSpec("Parameters")


@dataclass(frozen=True, slots=True)
class Result:
    """What a command returns.

    `data` is for `--json`; without it `text` goes to stdout as it is, then `lines` line by line.
    `errors` are what went wrong with a part of the work; the exit code is the first one's.
    """

    data: Any = None
    lines: Sequence[str] = ()
    text: str = ""
    errors: tuple[V2TError, ...] = ()


class Refused(Exception):
    """Ends a command with a result, from wherever below it this is raised: several errors are more than one raises."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


def returns_result(function: Callable[Parameters, Result]) -> Callable[..., None]:
    """Give a command the `--json` option, print what it returns, and exit with its code."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    @functools.wraps(function)
    def command(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        as_json = bool(kwargs.pop("as_json"))
        try:
            result = function(*args, **kwargs)
        except V2TError as error:
            result = Result(errors=(error,))
        except Refused as refused:
            result = refused.result
        except KeyboardInterrupt:
            say("interrupted; run the same command again to go on")
            raise click.exceptions.Exit(INTERRUPTED_EXIT_CODE) from None
        _print_result(result, as_json=as_json)
        if result.errors:
            raise click.exceptions.Exit(result.errors[0].exit_code)

    return command


def say(message: str) -> None:
    """Tell the person at the terminal something, on stderr."""
    print(f"v2t: {printable(message)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text on one line, with control characters and broken encodings spelled out, so that it cannot act."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def print_error(error: V2TError) -> None:
    """One line on stderr."""
    say(error.message)


def leave_at_once() -> NoReturn:
    """End the process without cleaning up; its child processes end with it, and its jobs can be gone on with."""
    if is_terminal():
        sys.stderr.write("\x1b[?25h")  # a bar has hidden the cursor
    say("interrupted")
    os._exit(INTERRUPTED_EXIT_CODE)


def is_terminal() -> bool:
    """Whether a person watches stderr."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"


@contextmanager
def download_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for the length of a download; yields what to call with (done bytes, total bytes)."""
    if not is_terminal():
        say(description)
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(printable(description), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


@contextmanager
def redrawn() -> Iterator[Callable[[Sequence[str]], None]]:
    """Lines on stdout that are shown again and again: in their old place at a terminal, else one below the other."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "") == "dumb":
        yield print_lines
        return
    from rich.live import Live
    from rich.text import Text

    with Live(screen=True, auto_refresh=False) as live:
        yield lambda lines: live.update(Text.from_ansi("\n".join(lines)), refresh=True)


def counted(number: int, noun: str) -> str:
    """A number of things: `1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_lines(lines: Sequence[str]) -> None:
    """Results that are wanted as they come, such as lines of a log that is followed; on stdout."""
    for line in lines:
        print(line)
    sys.stdout.flush()


def as_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as aligned lines under their headings."""
    cells = [[printable(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _print_result(result: Result, *, as_json: bool) -> None:
    if as_json:
        context = click.get_current_context()
        envelope = {
            "schema": SCHEMA,
            "command": context.command_path.partition(" ")[2],
            "status": "failed" if result.errors else "ok",
            "exit_code": result.errors[0].exit_code if result.errors else 0,
            "data": result.data,
            "errors": [{"code": error.code, "message": error.message} for error in result.errors],
        }
        print(json.dumps(envelope, ensure_ascii=True, indent=2))
        return
    sys.stdout.write(result.text)
    for line in result.lines:
        print(line)
    sys.stdout.flush()
    for error in result.errors:
        print_error(error)
