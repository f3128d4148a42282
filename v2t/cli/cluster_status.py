"""`v2t cluster status`."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.cluster_hosts import open_hosts
from v2t.cli.cluster_options import of_inventory
from v2t.cli.output import Result, as_table, printable, redrawn, returns_result
from v2t.domain.errors import ClusterUnhealthy, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v2t.cluster.hosts import Host
    from v2t.cluster.status import HostState

_SECONDS = 30.0
"""A host that has not answered then is not reached."""


@click.command("status")
@of_inventory
@click.option("--watch", "every_seconds", type=click.FloatRange(0.5), metavar="SECONDS", help="Look again and again.")
@returns_result
def command(named: Path | None, password: Path | None, every_seconds: float | None) -> Result:
    """Show what every host runs: units, versions, certificates, disks; changes nothing.

    Exit code 1 where a unit is failed or missing, a program is not the one of the lock, a certificate or a disk is near
    its end; 5 where a host cannot be reached. What is wrong stands below the tables, with the next step.

    \b
    Examples:
      v2t cluster status
      v2t cluster status --watch 5
      v2t cluster status --json
    """
    hosts = open_hosts(named, password)
    if every_seconds is None:
        return _look(hosts)
    if click.get_current_context().params.get("as_json"):
        raise UsageError("--watch has no end, and so no JSON")
    result = Result()
    try:
        with redrawn() as draw:
            while True:
                result = _look(hosts)
                draw([*result.lines, *(printable(error.message) for error in result.errors)])
                time.sleep(every_seconds)
    except KeyboardInterrupt:
        return Result(lines=result.lines, errors=result.errors)


def _look(hosts: Sequence[Host]) -> Result:
    from v2t.cluster.lock import read_lock
    from v2t.cluster.status import find_faults, look

    states, lost = look(hosts, read_lock(), _SECONDS)
    faults = find_faults(states)
    data = {"hosts": {state.host: asdict(state) for state in states}, "faults": faults}
    errors = (*lost, *(ClusterUnhealthy(fault) for fault in faults))
    return Result(data=data, lines=[*_unit_table(states), "", *_host_table(states)] if states else [], errors=errors)


def _unit_table(states: Sequence[HostState]) -> Sequence[str]:
    from v2t.cluster.status import ago

    rows = [
        (state.host, unit.name, unit.fault or unit.state, ago(unit.since_seconds), str(unit.restarts))
        for state in states
        for unit in state.units
    ]
    return as_table(("HOST", "UNIT", "STATE", "SINCE", "RESTARTS"), rows)


def _host_table(states: Sequence[HostState]) -> Sequence[str]:
    rows = [
        (
            state.host,
            state.release or "-",
            _drift(state),
            f"{min(state.certificates.values()):.0f} days" if state.certificates else "-",
            " ".join(
                f"{folder} {free / 2**30:.0f}/{total / 2**30:.0f}" for folder, (total, free) in state.disks.items()
            ),
            f"{state.memory_free_bytes / 2**30:.1f}/{state.memory_bytes / 2**30:.1f}",
            f"{state.load:.1f} on {state.cores}",
        )
        for state in states
    ]
    return as_table(("HOST", "V2T", "PROGRAMS", "CERTIFICATES", "DISK FREE GIB", "MEMORY FREE GIB", "LOAD"), rows)


def _drift(state: HostState) -> str:
    drifting = [program.name for program in state.programs if program.drifts]
    if drifting:
        return f"{', '.join(drifting)} not as locked"
    return "as locked" if state.programs else "-"
