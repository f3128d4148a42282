"""`v2t jobs cost`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from v2t.cli.job_records import shown_length
from v2t.cli.moment import Moment
from v2t.cli.output import Result, as_table, returns_result

if TYPE_CHECKING:
    from v2t.domain.records import CostLine


@click.command("cost")
@click.option(
    "--by",
    type=click.Choice(("provider", "user", "month")),
    default="provider",
    show_default=True,
    help="What a line is about.",
)
@click.option("--since", type=Moment(), help="Only what began since then: 2h, 3d, 2026-11-25 or 2026-11-25T14:30.")
@click.option("--until", type=Moment(), help="Only what began before then.")
@returns_result
def command(by: str, since: float | None, until: float | None) -> Result:
    """Sum up what providers were paid, by the prices in their settings; your own engines cost nothing.

    Each chunk that a provider answered counts, also where the job failed later. Months are those of UTC.

    \b
    Examples:
      v2t jobs cost --by month
      v2t jobs cost --by user --since 30d --json
    """
    costs = _read(by, since or 0.0, math.inf if until is None else until)
    rows = [(one.key or "-", str(one.jobs), shown_length(one.audio_seconds), f"${one.dollars:.4f}") for one in costs]
    lines = as_table((by.upper(), "JOBS", "AUDIO", "COST"), rows) if rows else ["Nothing was transcribed then."]
    return Result(data={"costs": [dataclasses.asdict(one) for one in costs]}, lines=lines)


def _read(by: str, since: float, until: float) -> Sequence[CostLine]:
    from v2t import wiring
    from v2t.config import load_settings

    records = wiring.open_records(load_settings())
    try:
        return records.costs(by, since, until)
    finally:
        records.close()
