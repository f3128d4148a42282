"""`v2t cluster secrets`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.cluster_options import of_inventory, usable_inventory
from v2t.cli.cluster_run import as_result, ask, run
from v2t.cli.output import Result, returns_result, say
from v2t.domain.errors import VaultRefused

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.group("secrets")
def group() -> None:
    """Exchange the cluster's passwords and tokens."""


@group.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@of_inventory
@click.option("--yes", is_flag=True, help="Do not ask.")
@returns_result
def rotate(names: tuple[str, ...], named: Path | None, password: Path | None, yes: bool) -> Result:
    """Make new values for secrets of the vault, all that can be exchanged or those named, and bring them to the hosts.

    The vault is written first. A rotation that was interrupted is healed by the same command, which makes new values
    once more. Jobs wait meanwhile, and none is lost.

    \b
    Examples:
      v2t cluster secrets rotate
      v2t cluster secrets rotate vault_postgresql_v2t_password vault_redis_password
      v2t cluster secrets rotate vault_minio_root_password --yes
    """
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.rotation import plan

    planned = plan(names)
    inventory, found = usable_inventory(named, password)
    for text in planned.away:
        say(text)
    if not yes:
        ask(f"Exchange {', '.join(planned.values)}, of {inventory.folder}?")
    told_as = ("v2t", "cluster", "secrets", "rotate", *names)
    _write(inventory.folder, found, planned.values, " ".join(told_as))
    inventory, found = usable_inventory(inventory.folder, found)  # with the new ones, which no log is to show
    options = PlaybookOptions(tags=planned.tags, variables={"secrets_stop_workers": planned.stops_workers})
    ended = run(inventory, found, "secrets", options, told_as=told_as)
    result = as_result(ended, options, {"exchanged": list(planned.values)})
    if result.errors:
        say("the vault has the new secrets, and some hosts the old ones")
    return result


def _write(folder: Path, password: Path | None, values: Mapping[str, str], command: str) -> None:
    """Put the new values into the vault, unless somebody changes the cluster now."""
    from datetime import UTC, datetime

    from v2t.cluster import vault
    from v2t.cluster.journal import hold_cluster

    with hold_cluster(folder, command, datetime.now(UTC)):
        text = vault.exchange(vault.read_vault(folder, password), values)
        if password is None:
            raise VaultRefused(f"the vault of {folder} has no password; `v2t cluster init {folder}` makes one")
        vault.write_vault(folder, password, text)
