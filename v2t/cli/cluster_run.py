"""How a command of `v2t cluster` runs a playbook: asks first, follows it on stderr, and says how it came out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from v2t.cli.cluster_progress import clock, open_progress
from v2t.cli.output import Result, as_table, counted, printable, say
from v2t.domain.errors import DeploymentFailed, HostUnreachable, UsageError, V2TError

if TYPE_CHECKING:
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.inventory import Inventory
    from v2t.cluster.playbook import Ended
    from v2t.cluster.progress import Outcome, Run


def ask(question: str) -> None:
    """Let the operator confirm a change; aborts where the answer is no.

    Raises:
        UsageError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise UsageError("this changes hosts; --yes says that it is meant, and --check shows what would change")
    click.confirm(printable(question), abort=True, err=True)


def run(
    inventory: Inventory,
    password: Path | None,
    playbook: str,
    options: PlaybookOptions,
    *,
    told_as: Sequence[str],
    changes: bool = True,
    watch: Callable[[Sequence[Outcome]], object] | None = None,
) -> Ended:
    """Run one of v2t's playbooks on an inventory, and show on stderr how it comes along.

    Args:
        inventory: whose hosts.
        password: file of its vault's password.
        playbook: its name without `.yml`; it names the log as well.
        options: what of it is run, and how.
        told_as: what the operator typed, for the record.
        changes: whether it is meant to change hosts.
        watch: called with the results of every event, for those who want more than the end.

    Raises:
        AnsibleNotInstalled: its program is not there.
        ClusterBusy: another operator's run goes on.
        StorageUnwritable: lock, log or record cannot be written.
    """
    from v2t.cluster.ansible import find_program, playbook_command
    from v2t.cluster.initialization import HOSTS
    from v2t.cluster.inventory import ansible_environment
    from v2t.cluster.journal import Redaction
    from v2t.cluster.playbook import PlaybookRun, run_playbook
    from v2t.cluster.shipped import shipped

    folder = inventory.folder
    file = shipped("playbooks") / f"{playbook}.yml"
    redaction = Redaction.of(inventory.variables)
    prepared = PlaybookRun(
        folder,
        playbook_command(find_program("ansible-playbook"), folder / HOSTS, file, options),
        ansible_environment(folder, password),
        operation=playbook,
        told_as=told_as,
        redaction=redaction,
        changes=changes,
    )
    before = signal.signal(signal.SIGTERM, _interrupt)  # ends Ansible as Ctrl-C does
    try:
        with open_progress(diff=options.diff, redaction=redaction) as show:

            def on_change(state: Run, outcomes: Sequence[Outcome]) -> None:
                show(state, outcomes)
                if watch:
                    watch(outcomes)

            return run_playbook(prepared, on_change)
    finally:
        signal.signal(signal.SIGTERM, before)


def as_result(
    ended: Ended, options: PlaybookOptions, data: Mapping[str, Any] | None = None, *, by_role: bool = False
) -> Result:
    """A run for the operator: what each host did, where the log is, and an error for each host given up.

    Args:
        ended: the run.
        options: how it was run.
        data: what its JSON says besides.
        by_role: show how long each role took.
    """
    found: dict[str, Any] = {
        "check": options.check,
        "changed": ended.changed,
        "seconds": round(ended.seconds, 1),
        "roles": {role: round(seconds, 1) for role, seconds in ended.roles.items()},
        "hosts": {host: dict(counts) for host, counts in ended.recap.items()},
        "log": str(ended.log),
        **(data or {}),
    }
    said = f"{counted(ended.changed, 'task')} {'would change' if options.check else 'changed'} something"
    roles = _roles(ended.roles) if by_role else ()
    lines = [*_recap(ended.recap), *roles, f"{said} in {clock(ended.seconds)}; the log is {ended.log}"]
    errors = errors_of(ended)
    if errors:
        say(f"the log is {ended.log}; the same command goes on where this one ended")
    return Result(data=found, lines=lines, errors=errors)


def errors_of(ended: Ended) -> tuple[V2TError, ...]:
    """A line a host that was given up; those that failed come first, and so decide the exit code."""
    found: list[V2TError] = [
        HostUnreachable(str(failure)) if failure.unreachable else DeploymentFailed(str(failure))
        for failure in sorted(ended.failures, key=lambda failure: failure.unreachable)
    ]
    if ended.exit_code and not found:
        found.append(DeploymentFailed(f"Ansible could not run the playbook: {ended.complaint}"))
    return tuple(found)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _recap(recap: Mapping[str, Mapping[str, int]]) -> Sequence[str]:
    headings = ("HOST", "OK", "CHANGED", "FAILED", "UNREACHABLE", "SKIPPED")
    keys = ("ok", "changed", "failures", "unreachable", "skipped")
    rows = [(host, *(str(counts[key]) for key in keys)) for host, counts in sorted(recap.items())]
    return as_table(headings, rows) if rows else ()


def _roles(roles: Mapping[str, float]) -> Sequence[str]:
    """How long each took, the longest first."""
    rows = [(role, f"{seconds:7.1f}") for role, seconds in sorted(roles.items(), key=lambda entry: -entry[1])]
    return as_table(("ROLE", "SECONDS"), rows) if rows else ()
