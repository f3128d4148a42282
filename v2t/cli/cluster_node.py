"""`v2t cluster node`: the hosts of workers come, rest and go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from v2t.cli.cluster_options import of_inventory, usable_inventory
from v2t.cli.cluster_run import as_result, ask, run
from v2t.cli.output import Result, counted, returns_result, say
from v2t.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.inventory import Inventory
    from v2t.cluster.machines import Machine
    from v2t.cluster.playbook import Ended

_TOLD_TO_OTHERS = "base_configure,firewall,postgresql_configure,ssh_whisper_configure,prometheus_configure"
"""Tags of what the other hosts must know of a host: its name, its address, that it is to be watched."""

_of_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group("node")
def group() -> None:
    """Add hosts of workers, let them rest, take them away."""


@group.command("add")
@click.argument("machine", metavar="NAME=ADDRESS")
@click.option("--user", default="", metavar="USER", help="Account for SSH, where it is not that of the other hosts.")
@of_inventory
@_of_yes
@returns_result
def add(machine: str, user: str, named: Path | None, password: Path | None, yes: bool) -> Result:
    """Add a bare host, and have workers on it.

    It gets the release of this v2t; the others keep theirs until the next `deploy` or `upgrade`. Where the host turns
    out not to be ready, the inventory stays as it was. Run again it goes on where it ended; on a host that was drained
    it is `node drain --undo` and a deployment.

    \b
    Examples:
      v2t cluster node add m4-3=10.0.0.43
      v2t cluster node add m4-3=10.0.0.43 --user operator --yes
    """
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.files import read_text, replace_file
    from v2t.cluster.hosts_file import edited
    from v2t.cluster.initialization import HOSTS
    from v2t.cluster.machines import parse_machine

    new = parse_machine(machine)
    inventory, found = usable_inventory(named, password)
    path = inventory.folder / HOSTS
    before = read_text(path)
    text, is_new = _with_worker(inventory, before, new, user)
    if not yes:
        ask(f"Make {new.name} at {new.address} a worker of {inventory.folder}?")
    told_as = ("v2t", "cluster", "node", "add", machine)
    with edited(path, text):
        look = ("site", PlaybookOptions(limit=new.name, tags="preflight"))
        ended, options = _run_in_turn(inventory, found, told_as, look)
    if ended.exit_code:
        if is_new:
            replace_file(path, before)
            say(f"{new.name} was not added: {path} is as it was")
        return as_result(ended, options)
    others = ("site", PlaybookOptions(limit=f"all:!{new.name}", tags=_TOLD_TO_OTHERS))
    ended, options = _run_in_turn(inventory, found, told_as, others, ("site", PlaybookOptions(limit=new.name)))
    return as_result(ended, options, {"host": new.name})


@group.command("drain")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Have the host work again.")
@of_inventory
@_of_yes
@returns_result
def drain(name: str, undo: bool, named: Path | None, password: Path | None, yes: bool) -> Result:
    """Have a host take no new work, and wait until what it computes has ended.

    That takes at most the host's `worker_drain_seconds`; what has not ended by then is done by another host. It stays
    so over restarts and deployments: `worker_drained: true` stands beside the host in hosts.yml until --undo takes it
    away.

    \b
    Examples:
      v2t cluster node drain m4-2
      v2t cluster node drain m4-2 --undo
    """
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.files import read_text
    from v2t.cluster.hosts_file import edited, mark_machine
    from v2t.cluster.initialization import HOSTS

    inventory, found = usable_inventory(named, password)
    _expect_worker(inventory, name)
    path = inventory.folder / HOSTS
    text = mark_machine(read_text(path), name, "worker_drained", None if undo else True)
    alone = "" if undo or _others_at_work(inventory, name) else " No other host works: files wait until one does."
    if not yes:
        ask(f"Have {name} work again?" if undo else f"Have {name} end its work?{alone}")
    told_as = ("v2t", "cluster", "node", "drain", name, *(["--undo"] if undo else []))
    with edited(path, text):
        ended, options = _run_in_turn(
            inventory, found, told_as, ("site", PlaybookOptions(limit=name, tags="worker_run"))
        )
    if not ended.exit_code:
        watched, of_watched = _run_in_turn(inventory, found, told_as, ("site", _watched()))
        if watched.exit_code:
            return as_result(watched, of_watched)
    found_there = ended.told.get(name, {})
    result = as_result(ended, options, {"host": name, "drained": not undo, **found_there})
    if ended.exit_code:
        return result
    return Result(data=result.data, lines=[*result.lines, _drained(name, found_there, undo=undo) + alone])


@group.command("remove")
@click.argument("name")
@click.option("--force", is_flag=True, help="The host is dead: change only the inventory and the other hosts.")
@of_inventory
@_of_yes
@returns_result
def remove(name: str, force: bool, named: Path | None, password: Path | None, yes: bool) -> Result:
    """Let a host end its work, remove v2t from it, and have the others forget it.

    Packages of the distribution stay. A host that carries servers is not removed: they must be moved first.

    \b
    Examples:
      v2t cluster node remove m4-2
      v2t cluster node remove m4-2 --force
    """
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.files import read_text, replace_file
    from v2t.cluster.hosts_file import remove_machine
    from v2t.cluster.initialization import HOSTS

    inventory, found = usable_inventory(named, password)
    _expect_removable(inventory, name)
    path = inventory.folder / HOSTS
    text = remove_machine(read_text(path), name)
    if not yes:
        ask(f"Take {name} out of {inventory.folder}" + ("?" if force else ", and v2t with all it keeps there off it?"))
    told_as = ("v2t", "cluster", "node", "remove", name, *(["--force"] if force else []))
    if not force:
        ended, options = _run_in_turn(inventory, found, told_as, ("remove", PlaybookOptions(limit=name)))
        if ended.exit_code:
            if any(failure.unreachable for failure in ended.failures):
                say(f"if {name} is dead, `v2t cluster node remove {name} --force` takes it out of the inventory")
            return as_result(ended, options)
    replace_file(path, text)
    whisper = name in inventory.groups.get("ssh_whisper", ())
    tags = f"{_TOLD_TO_OTHERS},client,worker_configure" if whisper else _TOLD_TO_OTHERS
    ended, options = _run_in_turn(inventory, found, told_as, ("site", PlaybookOptions(tags=tags)))
    result = as_result(ended, options, {"host": name})
    lines = [*result.lines, f"{name} is out of {path}"]
    left = [place for place in (f"host_vars/{name}", f"host_vars/{name}.yml") if (inventory.folder / place).exists()]
    lines += [f"{inventory.folder / place} is left: remove it if no host of this name comes back" for place in left]
    return Result(data=result.data, lines=lines, errors=result.errors)


def _run_in_turn(
    inventory: Inventory, password: Path | None, told_as: Sequence[str], *steps: tuple[str, PlaybookOptions]
) -> tuple[Ended, PlaybookOptions]:
    """Run playbooks until one fails; how the last one came out."""
    for playbook, options in steps:
        ended = run(inventory, password, playbook, options, told_as=told_as)
        if ended.exit_code:
            break
    return ended, options


def _watched() -> PlaybookOptions:
    """What a drained host is missed by, were it not told."""
    from v2t.cluster.ansible import PlaybookOptions

    return PlaybookOptions(limit="monitoring", tags="prometheus_configure")


def _with_worker(inventory: Inventory, text: str, new: Machine, user: str) -> tuple[str, bool]:
    """`hosts.yml` with a host that works, and whether it is a new one."""
    from v2t.cluster.hosts_file import mark_machine
    from v2t.cluster.machines import add_machines, user_problem

    if user and (problem := user_problem(user)):
        raise UsageError(f"--user {user!r}: {problem}")
    text, added = add_machines(text, None, [new])
    if not added:
        _expect_worker(inventory, new.name)
        text = mark_machine(text, new.name, "worker_drained", None)
    return (mark_machine(text, new.name, "ansible_user", user) if user else text), bool(added)


def _expect_worker(inventory: Inventory, name: str) -> None:
    workers = inventory.groups.get("workers", ())
    if name not in workers:
        raise UsageError(f"{name} is not among the workers of {inventory.folder}, which are {', '.join(workers)}")


def _expect_removable(inventory: Inventory, name: str) -> None:
    from v2t.cluster.machines import SERVICES

    _expect_worker(inventory, name)
    carried = [group for group in SERVICES if name in inventory.groups.get(group, ())]
    if carried:
        raise UsageError(f"{name} carries {', '.join(carried)}: name another host in these groups of hosts.yml first")
    if len(inventory.groups["workers"]) == 1:
        raise UsageError(f"{name} is the only worker; `v2t cluster node add` another first, or `v2t cluster destroy`")


def _others_at_work(inventory: Inventory, name: str) -> bool:
    others = (inventory.variables[host] for host in inventory.groups["workers"] if host != name)
    return any(not facts.get("worker_drained", False) for facts in others)


def _drained(name: str, told: Mapping[str, Any], *, undo: bool) -> str:
    if undo:
        return f"{name} works again"
    ended = told.get("worker_ended", [])
    took = f"{counted(len(ended), 'worker')} ended in {told['worker_end_seconds']} s" if ended else "no worker ran"
    return f"{name} takes no work: {took}; `v2t cluster node drain {name} --undo` has it work again"
