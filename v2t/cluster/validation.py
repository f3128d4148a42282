"""Whether an inventory is what the roles need, without touching a host: every mistake, and the file it is in."""

from __future__ import annotations

import difflib
import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from v2t.cluster import vault
from v2t.cluster.artifacts import Artifacts, State, default_folder, fetch_command
from v2t.cluster.initialization import HOSTS
from v2t.cluster.inventory import Inventory, find_variable
from v2t.cluster.knobs import Knobs
from v2t.cluster.lock import ARCHITECTURES, Lock
from v2t.cluster.machines import GROUPS, SERVICES, address_problem, name_problem
from v2t.cluster.secrets import SECRETS, weakness

_HOSTS = str(HOSTS)
_VAULT = str(vault.VAULT)
_ONE = "needs exactly one host"
_SIZES: Mapping[str, tuple[Callable[[int], bool], str]] = {
    **dict.fromkeys((name for name in SERVICES if name != "minio"), (lambda count: count == 1, _ONE)),
    "minio": (lambda count: count == 1 or count >= 3, "needs one host, or three and more"),
    "control": (lambda count: count <= 1, "is for one host that carries all services"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake, and the file it is in, with its line where known; relative to the inventory."""

    place: str
    what: str


def find_problems(inventory: Inventory, knobs: Knobs, lock: Lock, password: Path | None) -> list[Problem]:
    """Every mistake in an inventory, in the order of its files."""
    found = [
        *_group_problems(inventory),
        *_host_problems(inventory),
        *_variable_problems(inventory, knobs),
        *_secret_problems(inventory),
        *_vault_problems(inventory, password),
        *_artifact_problems(inventory, lock),
    ]
    return list(dict.fromkeys(found))


def _group_problems(inventory: Inventory) -> Iterator[Problem]:
    members = inventory.groups.get("v2t", ())
    if not members:
        yield Problem(_HOSTS, "the group v2t has no hosts")
    for host in inventory.hosts:
        if host not in members:
            yield Problem(_HOSTS, f"{host} is in no group of v2t")
    for name, (is_right, rule) in _SIZES.items():
        hosts = inventory.groups.get(name, ())
        if not is_right(len(hosts)):
            yield Problem(_HOSTS, f"the group {name} {rule}, and has {', '.join(hosts) or 'none'}")
    for name in inventory.groups:
        near = difflib.get_close_matches(name, GROUPS, n=1, cutoff=0.8)
        if name not in (*GROUPS, "all", "ungrouped") and near:
            yield Problem(_HOSTS, f"no role knows the group {name}; did you mean {near[0]}?")


def _host_problems(inventory: Inventory) -> Iterator[Problem]:
    by_address: dict[tuple[str, str], list[str]] = defaultdict(list)
    for host in inventory.hosts:
        if problem := name_problem(host):
            yield Problem(_HOSTS, f"{host!r}: {problem}")
        for variable in ("ansible_host", "v2t_address"):
            address = str(inventory.variables[host].get(variable, host))
            if "{{" in address:
                continue
            by_address[variable, address].append(host)
            if problem := _address_problem(address, alone=len(inventory.hosts) == 1):
                yield Problem(find_variable(inventory.folder, variable), f"{host}, {variable} {address!r}: {problem}")
    for (variable, address), hosts in by_address.items():
        if len(hosts) > 1:
            yield Problem(_HOSTS, f"{' and '.join(hosts)} have the same {variable}, {address}")


def _address_problem(address: str, *, alone: bool) -> str:
    if problem := address_problem(address):
        return problem
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        return ""
    return "other hosts cannot reach a loopback address" if loopback and not alone else ""


def _variable_problems(inventory: Inventory, knobs: Knobs) -> Iterator[Problem]:
    for host in inventory.hosts:
        for name, value in inventory.variables[host].items():
            if problem := knobs.problem(name, value):
                yield Problem(find_variable(inventory.folder, name), problem)


def _secret_problems(inventory: Inventory) -> Iterator[Problem]:
    """Of the first host, as all have the same."""
    values = inventory.variables[inventory.hosts[0]] if inventory.hosts else {}
    users: dict[object, list[str]] = defaultdict(list)
    for secret in SECRETS:
        value = values.get(secret.name)
        if value in (None, ""):
            yield Problem(_VAULT, f"{secret.name} is missing; `v2t cluster init {inventory.folder}` makes it")
        elif isinstance(value, str) and ("{{" not in value):
            users[value].append(secret.name)
            if problem := weakness(secret.kind, value):
                yield Problem(find_variable(inventory.folder, secret.name), f"{secret.name} {problem}")
    for names in users.values():
        if len(names) > 1:
            yield Problem(_VAULT, f"{' and '.join(names)} are the same")


def _vault_problems(inventory: Inventory, password: Path | None) -> Iterator[Problem]:
    path = inventory.folder / vault.VAULT
    if path.exists() and not vault.is_encrypted(path.read_text(encoding="utf-8", errors="replace")):
        yield Problem(_VAULT, f"is not encrypted; `v2t cluster init {inventory.folder}` encrypts it")
    if password and vault.is_open_to_others(password):
        yield Problem(str(password), f"other users of this machine can read it; `chmod 600 {password}`")


def _artifact_problems(inventory: Inventory, lock: Lock) -> Iterator[Problem]:
    """Of the architectures that hosts are known to have; where none is known, of those that were gathered."""
    folder = _artifacts_folder(inventory)
    known = {str(values.get("v2t_architecture", "")) for values in inventory.variables.values()} & set(ARCHITECTURES)
    gathered = [name for name in ARCHITECTURES if any((folder / name).glob("*"))]
    if not known and not gathered:
        yield Problem(str(folder), "no third-party programs are here; `v2t cluster artifacts fetch` brings them")
    for architecture in sorted(known) or gathered:
        for item in Artifacts(lock, folder).look(architecture):
            is_needed = not item.program.group or inventory.groups.get(item.program.group)
            if is_needed and item.state is not State.WHOLE:
                command = fetch_command(item.program, architecture)
                yield Problem(str(item.path), f"{item.program.name} is {item.state}; `{command}` brings it")


def _artifacts_folder(inventory: Inventory) -> Path:
    named = [str(values.get("v2t_artifacts", "")) for values in inventory.variables.values()]
    plain: Sequence[str] = [path for path in named if path and "{{" not in path]
    return Path(plain[0]).expanduser() if plain else default_folder()
