"""`v2t cluster validate`."""

from __future__ import annotations

from pathlib import Path

import click

from v2t.cli.cluster_options import of_inventory, open_inventory
from v2t.cli.output import Result, counted, printable, returns_result


@click.command("validate")
@of_inventory
@returns_result
def command(named: Path | None, password: Path | None) -> Result:
    """Check the inventory, its variables and the gathered programs; no host is touched.

    \b
    Examples:
      v2t cluster validate
      v2t cluster validate --inventory inventory/lab --json
    """
    inventory, _, errors = open_inventory(named, password)
    data = {"inventory": str(inventory.folder), "hosts": list(inventory.hosts)}
    if errors:
        return Result(data=data, errors=tuple(errors))
    return Result(
        data=data, lines=[printable(f"{inventory.folder} is valid, with {counted(len(inventory.hosts), 'host')}.")]
    )
