"""What several commands of `v2t cluster` ask for: the inventory, its vault's password, where programs are gathered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.output import Refused, Result
from v2t.domain.errors import InventoryInvalid

if TYPE_CHECKING:
    from v2t.cluster.inventory import Inventory


ARCHITECTURES = ("amd64", "arm64")  # v2t.cluster.lock's, which is not loaded for --help

of_architecture = click.option("--arch", type=click.Choice(ARCHITECTURES), help="Default: this machine's.")
of_folder = click.option(
    "--folder", type=click.Path(path_type=Path), help="Default: $V2T_ARTIFACTS, or the user's cache."
)


def of_vault(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--vault-password-file`."""
    return click.option(
        "--vault-password-file",
        "password",
        type=click.Path(path_type=Path),
        envvar="V2T_VAULT_PASSWORD_FILE",
        help="Default: $V2T_VAULT_PASSWORD_FILE, or .vault-password in the inventory.",
    )(function)


def of_inventory(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--inventory` and `--vault-password-file`."""
    return click.option(
        "--inventory",
        "named",
        type=click.Path(path_type=Path),
        envvar="V2T_INVENTORY",
        metavar="DIR",
        help="Default: $V2T_INVENTORY, or the only one below ./inventory.",
    )(of_vault(function))


def usable_inventory(named: Path | None, password: Path | None) -> tuple[Inventory, Path | None]:
    """The inventory, and the file of its vault's password.

    Raises:
        Refused: it has mistakes; the command ends with an error for each.
        UsageError, InventoryInvalid, VaultRefused: as `open_inventory`.
    """
    inventory, found, errors = open_inventory(named, password)
    if errors:
        raise Refused(Result(data={"inventory": str(inventory.folder)}, errors=tuple(errors)))
    return inventory, found


def open_inventory(named: Path | None, password: Path | None) -> tuple[Inventory, Path | None, list[InventoryInvalid]]:
    """The inventory, the file of its vault's password, and its mistakes, one error each.

    Raises:
        UsageError: there is no such inventory.
        InventoryInvalid: Ansible cannot read it.
        VaultRefused: its vault cannot be opened.
    """
    from v2t.cluster import vault
    from v2t.cluster.inventory import choose_inventory, read_inventory
    from v2t.cluster.knobs import read_knobs
    from v2t.cluster.lock import read_lock
    from v2t.cluster.shipped import shipped
    from v2t.cluster.validation import find_problems

    folder = choose_inventory(named)
    found = vault.find_password(folder, password)
    try:
        inventory = read_inventory(folder, found)
    except InventoryInvalid:
        vault.parse(vault.read_vault(folder, found))  # says better than Ansible why a vault does not open
        raise
    problems = find_problems(inventory, read_knobs(shipped("roles")), read_lock(), found)
    return inventory, found, [InventoryInvalid(f"{problem.place}: {problem.what}") for problem in problems]
