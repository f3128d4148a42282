"""`v2t cluster plan`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.cluster_options import of_inventory, usable_inventory
from v2t.cli.cluster_run import errors_of, run
from v2t.cli.output import Result, as_table, counted, returns_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v2t.cluster.plan import Change, Restart
    from v2t.cluster.progress import Outcome


@click.command("plan")
@of_inventory
@click.option("--diff", is_flag=True, help="Show the differences in files as well.")
@click.option("--limit", default="", metavar="HOSTS", help="Only these hosts or groups, as Ansible's --limit.")
@click.option("--tags", default="", metavar="TAGS", help="Only what has these tags, such as worker_configure.")
@returns_result
def command(named: Path | None, password: Path | None, diff: bool, limit: str, tags: str) -> Result:
    """Say what a deployment would change, and what each change risks; changes nothing.

    \b
    none     nobody notices
    restart  a service restarts; whether it is away for a moment is said
    data     the schema of a database, an account or a bucket changes

    What depends on an earlier change is not always seen: a host without anything is shown less than it gets.

    \b
    Examples:
      v2t cluster plan
      v2t cluster plan --limit m4-2 --diff
      v2t cluster plan --tags worker --json
    """
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.plan import make_plan, read_roles
    from v2t.cluster.shipped import shipped

    inventory, found = usable_inventory(named, password)
    options = PlaybookOptions(check=True, diff=diff, limit=limit, tags=tags)
    outcomes: list[Outcome] = []
    told_as = ("v2t", "cluster", "plan", *options.flags())
    ended = run(inventory, found, "site", options, told_as=told_as, changes=False, watch=outcomes.extend)
    changes, restarts = make_plan(outcomes, read_roles(shipped("roles")))
    data = {
        "changes": [asdict(change) for change in changes],
        "restarts": [asdict(restart) for restart in restarts],
        "risks": dict(Counter(change.risk for change in changes)),
        "log": str(ended.log),
    }
    lines = [*_lines(changes, restarts), f"The log, with all that was looked at, is {ended.log}"]
    return Result(data=data, lines=lines, errors=errors_of(ended))


def _lines(changes: Sequence[Change], restarts: Sequence[Restart]) -> list[str]:
    if not changes:
        return ["Nothing would change."]
    rows = [(change.host, change.role, change.task, change.risk, change.effect) for change in changes]
    counts = Counter(change.risk for change in changes)
    hosts = len({change.host for change in changes})
    lines = as_table(("HOST", "ROLE", "TASK", "RISK", "WHAT HAPPENS"), rows)
    risks = ", ".join(f"{number} {risk}" for risk, number in sorted(counts.items()))
    lines += ["", f"{counted(len(changes), 'task')} would change something on {counted(hosts, 'host')}: {risks}."]
    return lines + [f"{restart.host}: {restart.handler}: {restart.effect}." for restart in restarts]
