"""`v2t cluster deploy`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from v2t.cli.cluster_options import of_inventory, open_inventory
from v2t.cli.cluster_progress import clock, open_progress
from v2t.cli.output import Result, as_table, counted, printable, returns_result, say
from v2t.domain.errors import DeploymentFailed, HostUnreachable, UsageError, V2TError

if TYPE_CHECKING:
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.inventory import Inventory
    from v2t.cluster.playbook import Ended


@click.command("deploy")
@of_inventory
@click.option("--check", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--diff", is_flag=True, help="Show the differences in files.")
@click.option("--limit", default="", metavar="HOSTS", help="Only these hosts or groups, as Ansible's --limit.")
@click.option("--tags", default="", metavar="TAGS", help="Only what has these tags, such as postgresql_configure.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@returns_result
def command(
    named: Path | None, password: Path | None, check: bool, diff: bool, limit: str, tags: str, yes: bool
) -> Result:
    """Bring all hosts of an inventory to what it says.

    Run again it changes only what is not so yet. Every run leaves a full log in the inventory's folder `log`, and a
    line in its `audit.log`.

    \b
    Examples:
      v2t cluster deploy
      v2t cluster deploy --check --diff
      v2t cluster deploy --inventory inventory/lab --limit m4-2 --yes
    """
    from v2t.cluster.ansible import PlaybookOptions

    inventory, found, errors = open_inventory(named, password)
    if errors:
        return Result(data={"inventory": str(inventory.folder)}, errors=tuple(errors))
    options = PlaybookOptions(check=check, diff=diff, limit=limit, tags=tags)
    if not (check or yes):
        _ask(inventory, limit)
    return _as_result(_run(inventory, found, options), options)


def _ask(inventory: Inventory, limit: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("this changes hosts; --yes says that it is meant, and --check shows what would change")
    hosts = f"those of {limit!r} among " if limit else ""
    names = ", ".join(inventory.hosts)
    click.confirm(printable(f"Change {hosts}{names}, of {inventory.folder}?"), abort=True, err=True)


def _run(inventory: Inventory, password: Path | None, options: PlaybookOptions) -> Ended:
    from v2t.cluster.ansible import find_program, playbook_command
    from v2t.cluster.initialization import HOSTS
    from v2t.cluster.inventory import ansible_environment
    from v2t.cluster.journal import Redaction
    from v2t.cluster.playbook import PlaybookRun, run_playbook
    from v2t.cluster.shipped import shipped

    folder = inventory.folder
    site = shipped("playbooks") / "site.yml"
    redaction = Redaction.of(inventory.variables)
    run = PlaybookRun(
        folder,
        playbook_command(find_program("ansible-playbook"), folder / HOSTS, site, options),
        ansible_environment(folder, password),
        operation="deploy",
        told_as=("v2t", "cluster", "deploy", *options.flags()),
        redaction=redaction,
    )
    before = signal.signal(signal.SIGTERM, _interrupt)  # ends Ansible as Ctrl-C does
    try:
        with open_progress(diff=options.diff, redaction=redaction) as show:
            return run_playbook(run, show)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _as_result(ended: Ended, options: PlaybookOptions) -> Result:
    data = {
        "check": options.check,
        "changed": ended.changed,
        "seconds": round(ended.seconds, 1),
        "hosts": {host: dict(counts) for host, counts in ended.recap.items()},
        "log": str(ended.log),
    }
    said = f"{counted(ended.changed, 'task')} {'would change' if options.check else 'changed'} something"
    lines = [*_recap(ended.recap), f"{said} in {clock(ended.seconds)}; the log is {ended.log}"]
    errors = _errors(ended)
    if errors:
        say(f"the log is {ended.log}; the same command goes on where this one ended")
    return Result(data=data, lines=lines, errors=errors)


def _errors(ended: Ended) -> tuple[V2TError, ...]:
    """A line a host that was given up; those that failed come first, and so decide the exit code."""
    found: list[V2TError] = [
        HostUnreachable(str(failure)) if failure.unreachable else DeploymentFailed(str(failure))
        for failure in sorted(ended.failures, key=lambda failure: failure.unreachable)
    ]
    if ended.exit_code and not found:
        found.append(DeploymentFailed(f"Ansible could not run the playbook: {ended.complaint}"))
    return tuple(found)


def _recap(recap: Mapping[str, Mapping[str, int]]) -> Sequence[str]:
    headings = ("HOST", "OK", "CHANGED", "FAILED", "UNREACHABLE", "SKIPPED")
    keys = ("ok", "changed", "failures", "unreachable", "skipped")
    rows = [(host, *(str(counts[key]) for key in keys)) for host, counts in sorted(recap.items())]
    return as_table(headings, rows) if rows else ()
