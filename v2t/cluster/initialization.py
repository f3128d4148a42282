"""A new inventory, or what an existing one lacks: hosts, settings, secrets. What is there is never changed."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from v2t.cluster import vault
from v2t.cluster.files import read_text, replace_file
from v2t.cluster.machines import Machine, add_machines, render_hosts, user_problem
from v2t.cluster.shipped import shipped
from v2t.domain.errors import UsageError

HOSTS = Path("hosts.yml")
SETTINGS = Path("group_vars/all/main.yml")
_COPIED = {
    SETTINGS: "main.yml",
    Path("ansible.cfg"): "ansible.cfg",
    Path(".gitignore"): "gitignore",
}
"""File of an inventory → the template that it is a copy of."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator named; a control host is needed only where there is no `hosts.yml` yet."""

    control: Machine | None = None
    workers: Sequence[Machine] = ()
    user: str = "root"


@dataclass(frozen=True, slots=True)
class Step:
    """What was done with a file; an unchanged one is named as well."""

    path: Path
    what: str
    changed: bool = True


def initialize(folder: Path, wishes: Wishes, password: Path | None = None) -> tuple[Step, ...]:
    """Write what is missing; nothing is written where something that is there stands against it.

    Args:
        folder: of the inventory.
        wishes: its hosts.
        password: file of the vault's password, where it is not the inventory's own.

    Raises:
        UsageError: the wishes are not valid, or contradict the inventory.
        InventoryInvalid: a file cannot be added to.
        VaultRefused: the vault cannot be opened.
        StorageError: a file cannot be written.
    """
    hosts, host_step = _hosts(folder, wishes)
    found = vault.find_password(folder, password)
    before = vault.read_vault(folder, found)
    filled, made = vault.fill(before)
    encrypted = vault.is_encrypted(read_text(folder / vault.VAULT)) if before else False
    if host_step.changed:
        replace_file(folder / HOSTS, hosts)
    clients = _own_addresses(wishes.control)
    steps = [host_step, *(_copy(folder, path, template, clients) for path, template in _COPIED.items())]
    if found is None:
        found = vault.make_password(folder)
        steps.append(Step(found, "made; without it the secrets are lost, so keep a copy in another place"))
    if made or not encrypted:
        vault.write_vault(folder, found, filled)
    steps.append(Step(folder / vault.VAULT, _told(made, encrypted=encrypted), changed=bool(made) or not encrypted))
    return tuple(steps)


def _hosts(folder: Path, wishes: Wishes) -> tuple[str, Step]:
    path = folder / HOSTS
    if path.exists():
        text, added = add_machines(read_text(path), wishes.control, wishes.workers)
        return text, Step(path, f"added {', '.join(added)}") if added else Step(path, "unchanged", changed=False)
    if wishes.control is None:
        raise UsageError(f"{path} is not there yet; name the control host: --control m2=10.0.0.2")
    if problem := user_problem(wishes.user):
        raise UsageError(f"--user {wishes.user!r}: {problem}")
    names = [machine.name for machine in (wishes.control, *wishes.workers)]
    return render_hosts(wishes.control, wishes.workers, wishes.user), Step(path, f"written, with {', '.join(names)}")


def _copy(folder: Path, path: Path, template: str, clients: Sequence[str]) -> Step:
    if (folder / path).exists():
        return Step(folder / path, "unchanged", changed=False)
    text = (shipped("templates") / "inventory" / template).read_text(encoding="utf-8")
    replace_file(folder / path, text.replace("firewall_clients: []", f"firewall_clients: [{', '.join(clients)}]"))
    return Step(folder / path, "written")


def _own_addresses(control: Machine | None) -> Sequence[str]:
    """This machine's address on its way to the control host, so that the operator is let in; nothing is sent."""
    if control is None:
        return ()
    try:
        family, kind, _, _, address = socket.getaddrinfo(control.address, 22, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return (str(probe.getsockname()[0]),)
    except OSError:  # a name or network that is not known here
        return ()


def _told(made: Sequence[str], *, encrypted: bool) -> str:
    if made:
        return f"made {', '.join(made)}; encrypted"
    return "unchanged" if encrypted else "encrypted"
