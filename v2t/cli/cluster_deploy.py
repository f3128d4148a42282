"""`v2t cluster deploy`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.cluster_options import of_inventory, usable_inventory
from v2t.cli.cluster_run import as_result, ask, run
from v2t.cli.output import Result, returns_result
from v2t.domain.errors import V2TError

if TYPE_CHECKING:
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
    line in its `audit.log`. Your own v2t uses the cluster afterwards: ~/.config/v2t/config.toml becomes a link into
    the inventory, unless there is such a file.

    \b
    Examples:
      v2t cluster deploy
      v2t cluster deploy --check --diff
      v2t cluster deploy --inventory inventory/lab --limit m4-2 --yes
    """
    from v2t.cluster.ansible import PlaybookOptions

    inventory, found = usable_inventory(named, password)
    options = PlaybookOptions(check=check, diff=diff, limit=limit, tags=tags)
    if not (check or yes):
        hosts = f"those of {limit!r} among " if limit else ""
        ask(f"Change {hosts}{', '.join(inventory.hosts)}, of {inventory.folder}?")
    told_as = ("v2t", "cluster", "deploy", *options.flags())
    ended = run(inventory, found, "site", options, told_as=told_as)
    result = as_result(ended, options, by_role=True)
    return result if check else _with_client(result, ended, inventory.folder)


def _with_client(result: Result, ended: Ended, folder: Path) -> Result:
    """What to do to use the cluster from here; it is the operator's only where the deployment has come through."""
    from v2t.cluster.client import CONFIG, activate, describe
    from v2t.config import user_settings_file

    config = folder / CONFIG
    if ended.exit_code or not config.is_file():
        return result
    user_file = user_settings_file()
    try:
        active = activate(config, user_file)
    except V2TError as error:
        return replace(result, errors=(*result.errors, error))
    data = {**result.data, "client": {"config": str(config), "active": active}}
    return replace(result, data=data, lines=[*result.lines, describe(config, user_file, active=active)])
