"""`v2t health`: one line for each part of the system."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import click

from v2t.cli.output import Result, as_table, redrawn, returns_result
from v2t.domain.errors import UsageError

if TYPE_CHECKING:
    from v2t.config import Settings
    from v2t.health import HealthReport
    from v2t.health.machine_parts import Embedded

_EVERY_SECONDS = 2.0
_COLOURS = {"ok": "green", "degraded": "yellow", "failed": "red"}


@click.command("health")
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=600),
    default=8.0,
    show_default=True,
    help="Seconds each part may take to answer; all are asked at the same time.",
)
@returns_result
def command(watch: bool, timeout: float) -> Result:
    """Look at every part of the system: ok, degraded or failed, and what to do about it.

    Ends with 0 only if the system can transcribe now; else with 5 where something cannot be reached,
    3 where the settings are wrong, 1 otherwise. A degraded part, such as a cache that is gone, does not count.

    \b
    Examples:
      v2t health
      v2t health --watch
      v2t health --json --timeout 3
    """
    from v2t.config import load_settings

    settings = load_settings()
    if watch:
        _watch(settings, timeout)
    report = _examine(settings, timeout)
    error = report.error
    return Result(data=report.as_data(), lines=render(report), errors=(error,) if error else ())


def _watch(settings: Settings, timeout: float) -> None:
    """Show report after report; ends by Ctrl-C."""
    if click.get_current_context().params.get("as_json"):
        raise UsageError("--watch is for people; call `v2t health --json` again and again instead.")
    with redrawn() as show:
        while True:
            report = _examine(settings, timeout)
            show([time.strftime("%H:%M:%S"), *render(report)])
            time.sleep(_EVERY_SECONDS)


def _examine(settings: Settings, timeout: float) -> HealthReport:
    from v2t.health import examine

    embedded = None if settings.is_cluster else _embedded(settings)
    return asyncio.run(examine(settings, limit_seconds=timeout, embedded=embedded))


def _embedded(settings: Settings) -> Embedded:
    from v2t.development_server import find_program
    from v2t.health.machine_parts import Embedded
    from v2t.standalone import find_running

    running = find_running(settings.standalone.folder)
    has_program = find_program() is not None
    return Embedded(has_program, running.address, running.pid) if running else Embedded(has_program)


def render(report: HealthReport) -> list[str]:
    """A line for each part, its next step behind an arrow, and a last line that sums up."""
    rows = [
        (part.status.value, part.name, part.summary + (f" → {part.next_step}" if part.next_step else ""))
        for part in report.parts
    ]
    lines = as_table(("", "", ""), rows)[1:]
    if sys.stdout.isatty():
        lines = [_coloured(line, status) for line, (status, *_) in zip(lines, rows, strict=True)]
    verdict = "can transcribe" if report.can_transcribe else "cannot transcribe"
    return [*lines, f"{verdict} (looked at in {report.seconds:.1f} s)"]


def _coloured(line: str, status: str) -> str:
    return click.style(status, fg=_COLOURS[status], bold=status != "ok") + line.removeprefix(status)
