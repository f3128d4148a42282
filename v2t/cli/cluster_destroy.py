"""`v2t cluster destroy`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.cluster_options import of_inventory, usable_inventory
from v2t.cli.cluster_run import as_result, run
from v2t.cli.output import Result, printable, returns_result
from v2t.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v2t.cluster.playbook import Ended


@click.command("destroy")
@of_inventory
@click.option("--delete-data", is_flag=True, help="Also delete recordings, transcripts and records, for good.")
@click.option("--check", is_flag=True, help="Say what would be removed, and change nothing.")
@click.option("--yes-destroy", "meant", default="", metavar="NAME", help="Name of the cluster; then it does not ask.")
@returns_result
def command(named: Path | None, password: Path | None, delete_data: bool, check: bool, meant: str) -> Result:
    """Remove v2t from all hosts: services, programs, settings, certificates, accounts.

    What the object store and PostgreSQL hold stays on the hosts, and the next deployment with this inventory finds it
    there: keep the inventory's folder, whose secrets open it. --delete-data deletes that too. Caches and models of
    workers go in any case. Of the distribution's packages only Redis and HAProxy are removed, and with the data
    PostgreSQL's server. The inventory stays.

    \b
    Examples:
      v2t cluster destroy
      v2t cluster destroy --check
      v2t cluster destroy --delete-data --yes-destroy office
    """
    from v2t.cluster.ansible import PlaybookOptions

    inventory, found = usable_inventory(named, password)
    name = str(inventory.variables[inventory.hosts[0]].get("v2t_name", ""))
    if not check:
        _expect_meant(name, inventory.hosts, meant, "with all its data" if delete_data else "but for its data")
    options = PlaybookOptions(check=check, variables={"destroy_cluster": name, "remove_data": delete_data})
    told_as = (
        "v2t",
        "cluster",
        "destroy",
        *(["--delete-data"] if delete_data else []),
        *(["--check"] if check else []),
    )
    ended = run(inventory, found, "destroy", options, told_as=told_as)
    result = as_result(ended, options, {"cluster": name, "kept": _kept(ended)})
    lines = [*result.lines, *(f"{host} keeps {', '.join(paths)}" for host, paths in _kept(ended).items() if paths)]
    return Result(data=result.data, lines=lines, errors=result.errors)


def _expect_meant(name: str, hosts: Sequence[str], meant: str, how: str) -> None:
    if not meant and sys.stdin.isatty():
        question = f"This removes the cluster {name} from {', '.join(hosts)}, {how}. Type its name to go on"
        meant = click.prompt(printable(question), err=True)
    if not meant:
        raise UsageError(f"this destroys the cluster {name}; --yes-destroy {name} says that it is meant")
    if meant != name:
        raise UsageError(f"this is the cluster {name}, not {meant}; nothing was changed")


def _kept(ended: Ended) -> dict[str, list[str]]:
    return {host: list(facts.get("kept", ())) for host, facts in sorted(ended.told.items())}
