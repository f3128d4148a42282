"""`v2t cluster backup`: copies of all that a cluster holds, and a cluster out of a copy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from v2t.cli.cluster_backup_here import group as here
from v2t.cli.cluster_options import of_inventory, usable_inventory
from v2t.cli.cluster_run import ask, errors_of, run
from v2t.cli.output import Result, as_table, counted, returns_result, say
from v2t.domain.errors import V2TError, from_wire

if TYPE_CHECKING:
    from v2t.cluster.backups.transport import Transport
    from v2t.cluster.inventory import Inventory
    from v2t.cluster.playbook import Ended


_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group("backup")
def group() -> None:
    """Make, check and bring back copies of all that the cluster holds.

    A backup has the databases, the buckets, the inventory's settings and the authority. It lies on the host of
    PostgreSQL, in `backup_folder`: give that a disk of its own.
    """


group.add_command(here)


@group.command("create")
@of_inventory
@click.option("--to", "target", type=_FOLDER, metavar="DIR", help="Bring it to this folder of this machine as well.")
@returns_result
def create(named: Path | None, password: Path | None, target: Path | None) -> Result:
    """Make a backup now; the cluster goes on working.

    The newest `backup_keep` backups stay. Contents that two backups have in common are on the disk once, and travel
    once. With `backup_timer` one is made every night.

    \b
    Examples:
      v2t cluster backup create
      v2t cluster backup create --to /mnt/archive/v2t
    """
    inventory, found = usable_inventory(named, password)
    ended, data, errors_there = _play(inventory, found, "create", "")
    if errors_there:
        return Result(data=data, errors=errors_there)
    lines = [f"{data['backup']['name']} is made: {_contents(data['backup'])}"]
    lines += [f"{name} has left for it" for name in data["removed"]]
    if lost := data["backup"]["without_transcript"]:
        lines.append(f"of {counted(lost, 'completed job')} there was no transcript to copy: deleted, or lost before")
    if target:
        came = _transport(inventory, found, data["folder"], target).fetch(data["backup"]["name"])
        lines.append(f"{target} has it too; {counted(came, 'content')} had to be fetched")
    return Result(data={**data, "seconds": round(ended.seconds, 1)}, lines=lines)


@group.command("list")
@of_inventory
@returns_result
def list_(named: Path | None, password: Path | None) -> Result:
    """Show the backups there are, the newest first.

    \b
    Examples:
      v2t cluster backup list
    """
    inventory, found = usable_inventory(named, password)
    _, data, errors_there = _play(inventory, found, "list", "", changes=False)
    rows = [
        (
            each["name"],
            _megabytes(each["size_bytes"]),
            str(each["objects"]),
            each["version"],
            _moment(each["verified_at"]),
        )
        for each in data.get("backups", ())
    ]
    lines = as_table(("BACKUP", "SIZE", "OBJECTS", "V2T", "VERIFIED"), rows) if rows else ["There is no backup yet."]
    return Result(data=data, lines=() if errors_there and not rows else lines, errors=errors_there)


@group.command("verify")
@click.argument("name", default="latest")
@of_inventory
@returns_result
def verify(name: str, named: Path | None, password: Path | None) -> Result:
    """Read all of a backup back, and say what is damaged or missing.

    \b
    Examples:
      v2t cluster backup verify
      v2t cluster backup verify 2026-11-26T013000Z
    """
    inventory, found = usable_inventory(named, password)
    _, data, errors_there = _play(inventory, found, "verify", name, changes=False)
    lines = [] if errors_there else [f"{data['backup']['name']} is whole: {_contents(data['backup'])}"]
    return Result(data=data, lines=lines, errors=errors_there)


@group.command("restore")
@click.argument("name", default="latest")
@of_inventory
@click.option("--from", "source", type=_FOLDER, metavar="DIR", help="Send it to the cluster from this folder first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@returns_result
def restore(name: str, named: Path | None, password: Path | None, source: Path | None, yes: bool) -> Result:
    """Bring a backup back, into this cluster or into a new one that the same inventory has deployed.

    Workers and Temporal stop meanwhile. The databases become what they were: what was done since is forgotten. Objects
    that are missing or differ are put back, and none is deleted. Jobs and batches that ran when the backup was made go
    on. Nothing is stopped before the backup is found to be whole.

    \b
    Examples:
      v2t cluster backup restore
      v2t cluster backup restore 2026-11-26T013000Z --yes
      v2t cluster backup restore --from /mnt/archive/v2t
    """
    inventory, found = usable_inventory(named, password)
    if not yes:
        ask(f"Replace the databases of {inventory.folder} by those of the backup {name}?")
    if source:
        _, data, errors_there = _play(inventory, found, "list", "", changes=False)
        if "folder" not in data:
            return Result(errors=errors_there)
        from v2t.cluster.backups.shelf import Shelf

        name = Shelf(source).find(name).name
        _transport(inventory, found, data["folder"], source).send(name)
    ended, data, errors_there = _play(inventory, found, "restore", name)
    if errors_there:
        return Result(data=data, errors=errors_there)
    back = f"{data['backup']['name']} is back: {_contents(data['backup'])}"
    lines = [f"{back}; {counted(data['objects_sent'], 'object')} had to be put back; the cluster is well"]
    return Result(data={**data, "seconds": round(ended.seconds, 1)}, lines=lines)


def _play(
    inventory: Inventory, password: Path | None, verb: str, name: str, *, changes: bool = True
) -> tuple[Ended, dict[str, Any], tuple[V2TError, ...]]:
    """Run the playbook of a verb; what the program on the host answered, and why it failed, in the host's words."""
    from v2t.cluster.ansible import PlaybookOptions

    options = PlaybookOptions(variables={"backup_name": name} if name else {})
    told_as = ("v2t", "cluster", "backup", verb, *([name] if name else []))
    ended = run(inventory, password, f"backup_{verb}", options, told_as=told_as, changes=changes)
    answer: dict[str, Any] = next((told["backup"] for told in ended.told.values() if "backup" in told), {})
    return ended, answer.get("data") or {}, _errors(answer) or errors_of(ended)


def _transport(inventory: Inventory, password: Path | None, there: str, folder: Path) -> Transport:
    from v2t.cluster.backups.shelf import Shelf
    from v2t.cluster.backups.transport import Transport
    from v2t.cluster.hosts import read_hosts

    first = inventory.groups["postgresql"][0]
    host = next(host for host in read_hosts(inventory.folder, password) if host.name == first)
    return Transport(host, PurePosixPath(there), Shelf(folder), say)


def _errors(answer: Mapping[str, Any]) -> tuple[V2TError, ...]:
    return tuple(from_wire(each["code"], each["message"]) for each in answer.get("errors", ()))


def _contents(backup: Mapping[str, Any]) -> str:
    return f"{counted(backup['objects'], 'object')}, {_megabytes(backup['size_bytes'])} with the databases"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB"


def _moment(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC") if at else "-"
