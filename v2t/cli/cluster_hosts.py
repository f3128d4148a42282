"""What the commands of `v2t cluster` share that reach hosts by SSH: the hosts, and how their lines are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from v2t.cli.output import print_lines, printable
from v2t.domain.errors import CommandFailed, V2TError

if TYPE_CHECKING:
    from v2t.cluster.hosts import Answer, Host


def open_hosts(named: Path | None, password: Path | None) -> list[Host]:
    """The hosts of an inventory, which need not be valid in all: who looks at a cluster may look for its faults.

    Raises:
        UsageError: there is no such inventory.
        InventoryInvalid: Ansible cannot read it.
        VaultRefused: the vault's password is not where it was said to be.
    """
    from v2t.cluster import vault
    from v2t.cluster.hosts import read_hosts
    from v2t.cluster.inventory import choose_inventory

    folder = choose_inventory(named)
    return read_hosts(folder, vault.find_password(folder, password))


def line_printer(hosts: Sequence[Host]) -> Callable[[Host, str], None]:
    """Prints a host's lines as they come, with its name before each where there are several hosts."""
    return lambda host, line: print_lines([prefixed(hosts, host, line)])


def prefixed(hosts: Sequence[Host], host: Host, line: str) -> str:
    """A line of a host, with its name before it where there are several."""
    text = printable(line.expandtabs())
    width = max(len(each.name) for each in hosts)
    return f"{host.name:{width}} | {text}" if len(hosts) > 1 else text


def errors_of(answers: Sequence[Answer], what: str) -> tuple[V2TError, ...]:
    """An error a host that was not reached, or on which it failed; the worst comes first."""
    found: list[V2TError] = []
    for answer in sorted(answers, key=lambda answer: -answer.exit_code):
        if error := answer.unreachable():
            found.append(error)
        elif code := answer.exit_code:
            found.append(CommandFailed(f"{answer.host}: {what} ended with {code}", code if code > 0 else 128 - code))
    return tuple(found)
