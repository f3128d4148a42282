"""`v2t cluster upgrade` and `v2t cluster rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.cluster_options import of_inventory, usable_inventory
from v2t.cli.cluster_run import as_result, ask, errors_of, run
from v2t.cli.output import Result, as_table, returns_result, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.inventory import Inventory
    from v2t.cluster.playbook import Ended

_PIN = "worker_release"
_HEADINGS = ("HOST", "PROGRAM", "INSTALLED", "THEN")


@click.command("upgrade")
@of_inventory
@click.option("--check", is_flag=True, help="Say what would be upgraded, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@returns_result
def upgrade(named: Path | None, password: Path | None, check: bool, yes: bool) -> Result:
    """Bring a cluster that works to the versions of this v2t, and let it work meanwhile.

    Temporal's schema comes first, then its server, MinIO, and at last the workers, host by host: each ends what it
    computes, starts with the new release, and must find the cluster healthy before the next one's turn. The first host
    that does not ends the upgrade; run again it goes on there. PostgreSQL, Redis and HAProxy are the distribution's,
    and are left alone. Temporal goes up by one minor version at a time. What `rollback` wrote is taken back.

    \b
    Examples:
      v2t cluster upgrade --check
      v2t cluster upgrade
    """
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.files import read_text
    from v2t.cluster.hosts_file import edited, mark_machine
    from v2t.cluster.initialization import HOSTS
    from v2t.cluster.upgrades import changes_of

    inventory, found = usable_inventory(named, password)
    versions = _versions(inventory, found, PlaybookOptions(variables={_PIN: ""}), ("v2t", "cluster", "upgrade"))
    if versions.exit_code:
        return Result(errors=errors_of(versions))
    changes = changes_of(versions.told)
    rows = [(one.host, one.program, one.installed or "-", one.wanted) for one in changes]
    data = {"changes": [dict(zip(("host", "program", "installed", "then"), row, strict=True)) for row in rows]}
    lines = as_table(_HEADINGS, rows) if rows else ["Every host has the versions of this v2t."]
    if check:
        return Result(data=data, lines=lines)
    _tell(lines)
    if not yes:
        ask(f"Upgrade {', '.join(inventory.hosts)}, of {inventory.folder}?")
    path = inventory.folder / HOSTS
    text = read_text(path)
    for host in (host for host, facts in inventory.variables.items() if facts.get(_PIN)):
        text = mark_machine(text, host, _PIN, None)
    options = PlaybookOptions()
    with edited(path, text):
        ended = run(inventory, found, "upgrade", options, told_as=("v2t", "cluster", "upgrade"))
    if ended.exit_code:
        say("`v2t cluster upgrade` goes on where it ended; `v2t cluster rollback` has the workers go back")
    return as_result(ended, options, data)


@click.command("rollback")
@of_inventory
@click.option("--to", "wanted", default="", metavar="RELEASE", help="Default: the one that each host had before.")
@click.option("--limit", default="", metavar="HOSTS", help="Only these hosts or groups, as Ansible's --limit.")
@click.option("--check", is_flag=True, help="Say what each host would go back to, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@returns_result
def rollback(named: Path | None, password: Path | None, wanted: str, limit: str, check: bool, yes: bool) -> Result:
    """Have workers go back to a release of v2t that they had, host by host as in an upgrade.

    Servers, settings and tables stay as they are. The hosts keep to that release, also over deployments: it stands
    beside each in hosts.yml, as `worker_release`, until the next `upgrade`.

    \b
    Examples:
      v2t cluster rollback
      v2t cluster rollback --to 0.1.0-2c26b46b68ff --limit m4-1
    """
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.files import read_text
    from v2t.cluster.hosts_file import edited, mark_machine
    from v2t.cluster.initialization import HOSTS
    from v2t.cluster.upgrades import plan_rollback

    inventory, found = usable_inventory(named, password)
    told_as = ("v2t", "cluster", "rollback", *([f"--to={wanted}"] if wanted else []))
    options = PlaybookOptions(limit=limit)
    versions = _versions(inventory, found, options, told_as)
    if versions.exit_code:
        return Result(errors=errors_of(versions))
    workers = {host: facts for host, facts in versions.told.items() if host in inventory.groups["workers"]}
    plan = plan_rollback(workers, _kept_to(inventory), wanted)
    lines = as_table(_HEADINGS, [(host, "v2t", versions.told[host]["release"], then) for host, then in plan.items()])
    data = {"releases": plan}
    if check:
        return Result(data=data, lines=lines)
    _tell(lines)
    if not yes:
        ask(f"Have {', '.join(plan)} go back, of {inventory.folder}?")
    path = inventory.folder / HOSTS
    text = read_text(path)
    for host, release in plan.items():
        text = mark_machine(text, host, _PIN, release)
    options = PlaybookOptions(limit=",".join(plan))
    with edited(path, text):
        ended = run(inventory, found, "rollback", options, told_as=(*told_as, f"--limit={options.limit}"))
    return as_result(ended, options, data)


def _versions(inventory: Inventory, password: Path | None, options: PlaybookOptions, told_as: Sequence[str]) -> Ended:
    return run(inventory, password, "versions", options, told_as=told_as, changes=False)


def _kept_to(inventory: Inventory) -> Mapping[str, str]:
    return {host: str(facts.get(_PIN, "")) for host, facts in inventory.variables.items()}


def _tell(lines: Sequence[str]) -> None:
    for line in lines:
        say(line)
