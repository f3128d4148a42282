"""The hosts that an operator names: what a valid name, address and user is, and their file `hosts.yml`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, Any

from v2t.cluster.files import NotYaml, load_yaml
from v2t.cluster.shipped import shipped
from v2t.domain.errors import InventoryInvalid, UsageError

if TYPE_CHECKING:
    import yaml

SERVICES = ("postgresql", "temporal", "minio", "redis", "loadbalancer", "monitoring")
"""Groups of the hosts that run a service; `control` is the parent of all of them."""
GROUPS = ("v2t", "control", "workers", "ssh_whisper", *SERVICES)
"""All groups that the roles know."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_TAKEN = frozenset({"all", "ungrouped", "localhost", *GROUPS})


@dataclass(frozen=True, slots=True)
class Machine:
    """A host, and where it is reached by SSH."""

    name: str
    address: str


def parse_machine(text: str) -> Machine:
    """HOST=ADDRESS.

    Raises:
        UsageError: one of them is not valid.
    """
    name, equals, address = text.partition("=")
    problem = "needs HOST=ADDRESS" if not equals else name_problem(name) or address_problem(address)
    if problem:
        raise UsageError(f"{text!r}: {problem}")
    return Machine(name, address)


def name_problem(name: str) -> str:
    """What is wrong with the name of a host; empty: nothing."""
    if not _NAME.fullmatch(name) or len(name) > 253:
        return "a host's name has lower-case letters, digits, hyphens and dots only"
    if name in _TAKEN:
        return f"{name} is the name of a group, and cannot be a host's"
    return ""


def address_problem(address: str) -> str:
    """What is wrong with an address, an IP address or a name; empty: nothing."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        digits_only = address.replace(".", "").isdigit()
        return "" if _NAME.fullmatch(address) and not digits_only else "the address is neither an IP address nor a name"
    return "no host has this address" if ip.is_unspecified or ip.is_multicast else ""


def user_problem(user: str) -> str:
    """What is wrong with the name of an account; empty: nothing."""
    return "" if _USER.fullmatch(user) else "an account's name has lower-case letters, digits, _ and - only"


def render_hosts(control: Machine, workers: Sequence[Machine], user: str) -> str:
    """A new `hosts.yml`. Without workers the control host works as well.

    Raises:
        UsageError: two hosts have the same name or address.
    """
    machines = (control, *workers)
    _expect_distinct({machine.name: machine.address for machine in machines}, machines, len(machines))
    template = (shipped("templates") / "inventory" / "hosts.yml.template").read_text(encoding="utf-8")
    return Template(template).substitute(
        hosts="\n".join(f"    {machine.name}:\n      ansible_host: {machine.address}" for machine in machines),
        workers="\n".join(f"        {machine.name}:" for machine in workers or (control,)),
        control=control.name,
        user=user,
    )


def add_machines(text: str, control: Machine | None, workers: Sequence[Machine]) -> tuple[str, tuple[str, ...]]:
    """An existing `hosts.yml` with the workers that it lacks, and their names; the rest stays as it is.

    Raises:
        UsageError: a host stands there with another address, or the control host is not one of it.
        InventoryInvalid: the file is not one that lines can be added to.
    """
    document = load_hosts(text)
    hosts = document["v2t"]["hosts"]
    there = {str(name): str((values or {}).get("ansible_host", name)) for name, values in hosts.items()}
    named = (*((control,) if control else ()), *workers)
    for machine in named:
        if there.get(machine.name, machine.address) != machine.address:
            raise UsageError(f"{machine.name} has the address {there[machine.name]} in hosts.yml; change it there")
    if control and control.name not in there:
        raise UsageError(f"{control.name} is not in hosts.yml; to move services to another host, change that file")
    new = tuple(machine for machine in workers if machine.name not in there)
    _expect_distinct(there | {machine.name: machine.address for machine in new}, new, len(there) + len(new))
    return (_insert(text, document, new) if new else text), tuple(machine.name for machine in new)


def _expect_distinct(addresses: Mapping[str, str], machines: Sequence[Machine], count: int) -> None:
    if len(addresses) < count:
        raise UsageError("two hosts have the same name")
    for machine in machines:
        others = (name for name in addresses if addresses[name] == machine.address and name != machine.name)
        if other := next(others, ""):
            raise UsageError(f"{machine.name} and {other} have the same address {machine.address}")


def load_hosts(text: str) -> dict[str, Any]:
    """What a `hosts.yml` says.

    Raises:
        InventoryInvalid: it is not as v2t writes it.
    """
    try:
        document = load_yaml(text)
        document["v2t"]["hosts"].items()
        document["v2t"]["children"]["workers"]["hosts"] = document["v2t"]["children"]["workers"]["hosts"] or {}
    except (NotYaml, KeyError, TypeError, AttributeError) as error:
        raise InventoryInvalid(
            "hosts.yml is not as `v2t cluster init` writes it, with v2t.hosts and v2t.children.workers.hosts; "
            "change it by hand"
        ) from error
    return dict(document)


def _insert(text: str, document: dict[str, Any], machines: Sequence[Machine]) -> str:
    """Put lines below the last host of both places; what comes out is compared with what is meant."""
    import yaml

    root = yaml.compose(text)
    assert root is not None  # it is the document
    lines = text.splitlines()
    places = [
        (("v2t", "hosts"), "{indent}{name}:\n{indent}  ansible_host: {address}"),
        (("v2t", "children", "workers", "hosts"), "{indent}{name}:"),
    ]
    added: list[tuple[int, list[str]]] = []
    for path, form in places:
        line, column = _end_of(root, path)
        new = [form.format(indent=" " * column, name=item.name, address=item.address) for item in machines]
        added.append((line, new))
    for line, new in sorted(added, reverse=True):
        lines[line + 1 : line + 1] = new
    result = "\n".join(lines) + "\n"
    for machine in machines:
        document["v2t"]["hosts"][machine.name] = {"ansible_host": machine.address}
        document["v2t"]["children"]["workers"]["hosts"][machine.name] = None
    try:
        is_meant = load_yaml(result) == document
    except NotYaml:
        is_meant = False
    if not is_meant:
        raise InventoryInvalid("hosts.yml is written in a way that lines cannot be added to; add the hosts by hand")
    return result


def _end_of(root: yaml.Node, path: Sequence[str]) -> tuple[int, int]:
    """The last line of the mapping at the path, and the column of its keys."""
    node, key = root, root
    for name in path:
        key, node = next(pair for pair in node.value if pair[0].value == name)
    if isinstance(node.value, list) and node.value:
        return last_line(node), node.value[0][0].start_mark.column
    return key.start_mark.line, key.start_mark.column + 2


def last_line(node: yaml.Node) -> int:
    """Where a value ends, counted from 0."""
    if isinstance(node.value, list) and node.value and not node.flow_style:  # type: ignore[attr-defined]  # collections
        last = node.value[-1]
        return max(part.start_mark.line if part is not last[-1] else last_line(part) for part in last)
    return int(node.end_mark.line)
