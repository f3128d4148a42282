"""An inventory as Ansible reads it: hosts, groups, and the variables of every host; and where a variable stands."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2t.cluster.ansible import call, complaint, environment, find_program, find_strategies, read_configured
from v2t.cluster.artifacts import default_folder
from v2t.cluster.initialization import HOSTS
from v2t.cluster.shipped import shipped
from v2t.domain.errors import InventoryInvalid, UsageError

_PLACE = Path("inventory")
_OF_THE_REPOSITORY = frozenset({"sample", "lab"})
"""Inventories of nobody's cluster; they are taken when they are named."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is in an inventory's folder."""

    folder: Path
    variables: Mapping[str, Mapping[str, Any]]
    """Host → its variables, those of its groups among them; expressions are not evaluated."""
    groups: Mapping[str, Sequence[str]]
    """Group → its hosts, those of its children among them."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """All of them, sorted."""
        return tuple(sorted(self.variables))


def choose_inventory(named: Path | None) -> Path:
    """The folder of the inventory: the named one, else the only one below `./inventory`.

    Raises:
        UsageError: there is none, or there are several.
    """
    if named is not None:
        if not (named / HOSTS).is_file():
            raise UsageError(f"{named} has no {HOSTS}; `v2t cluster init {named}` writes one")
        return named.absolute()
    found = sorted(path.parent for path in _PLACE.glob(f"*/{HOSTS}") if path.parent.name not in _OF_THE_REPOSITORY)
    if not found:
        raise UsageError("there is no inventory; `v2t cluster init inventory/<name>` makes one")
    if len(found) > 1:
        raise UsageError(f"there are several inventories; name one with --inventory: {', '.join(map(str, found))}")
    return found[0].absolute()


def ansible_environment(folder: Path, password: Path | None) -> dict[str, str]:
    """The environment of Ansible's programs for this inventory."""
    configuration = folder / "ansible.cfg"
    there = configuration.is_file()
    return environment(
        {"V2T_ARTIFACTS": str(default_folder()), **os.environ},  # wherever the user's cache is
        roles=shipped("roles"),
        configuration=configuration if there else None,
        configured=read_configured(configuration) if there else frozenset(),
        vault_password=password,
        strategies=find_strategies(),
    )


def read_inventory(folder: Path, password: Path | None) -> Inventory:
    """Let Ansible read the inventory.

    Raises:
        AnsibleNotInstalled: its program is not there.
        InventoryInvalid: it cannot be read.
    """
    command = [str(find_program("ansible-inventory")), f"--inventory={folder / HOSTS}", "--list"]
    shown = call(command, ansible_environment(folder, password))
    if shown.returncode:
        raise InventoryInvalid(f"{folder / HOSTS} cannot be read: {_first_cause(shown.stderr)}")
    return parse_inventory(folder, json.loads(shown.stdout))


def parse_inventory(folder: Path, document: Mapping[str, Any]) -> Inventory:
    """What `ansible-inventory --list` prints."""
    groups = {name: tuple(_members(document, name)) for name in document if name != "_meta"}
    groups |= {name: tuple(_members(document, name)) for name in _named_children(document) if name not in groups}
    variables = document.get("_meta", {}).get("hostvars", {})
    hosts = {host for members in groups.values() for host in members} | set(variables)
    return Inventory(folder, {host: variables.get(host, {}) for host in hosts}, groups)


def find_variable(folder: Path, name: str) -> str:
    """`file` or `file:line` where a variable stands, relative to the folder; its vault or hosts file where unknown."""
    pattern = re.compile(rf"""(?:^|[{{,\s])["']?{re.escape(name)}["']?\s*:""")
    for path in _files(folder):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if not line.lstrip().startswith("#") and pattern.search(line):
                return f"{path.relative_to(folder)}:{number}"
    return "group_vars/all/vault.yml" if name.startswith("vault_") else str(HOSTS)


def _files(folder: Path) -> Iterator[Path]:
    yield folder / HOSTS
    for place in ("host_vars", "group_vars"):
        yield from sorted(path for path in (folder / place).rglob("*") if path.suffix in {".yml", ".yaml", ".json"})


def _named_children(document: Mapping[str, Any]) -> set[str]:
    return {child for name, group in document.items() if name != "_meta" for child in group.get("children", ())}


def _members(document: Mapping[str, Any], name: str) -> list[str]:
    group = document.get(name, {})
    found = set(group.get("hosts", ()))
    for child in group.get("children", ()):
        found.update(_members(document, child))
    return sorted(found)


def _first_cause(text: str) -> str:
    """Of Ansible's many lines, the one that names the mistake."""
    warning = re.search(r"with 'yaml' plugin: (.+)", text)
    origin = re.search(r"^Origin: (\S+:\d+:\d+)", text, re.MULTILINE)
    cause = warning[1] if warning else complaint(text)
    return f"{cause} ({origin[1]})" if origin else cause
