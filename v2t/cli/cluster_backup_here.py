"""`v2t cluster backup here`: a backup's work, on the host where PostgreSQL is; the operator's commands run it there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from v2t.cli.output import Result, counted, returns_result, say
from v2t.domain.errors import StorageDamaged, V2TError

if TYPE_CHECKING:
    from v2t.cluster.backups.manifest import Manifest
    from v2t.cluster.backups.objects import Bucketeer
    from v2t.cluster.backups.shelf import Shelf

_MOST_ERRORS = 20

_of_folder = click.option(
    "--folder", type=click.Path(path_type=Path), envvar="V2T_BACKUP_FOLDER", required=True, help="Where backups lie."
)


_of_name = click.argument("name")


@click.group("here", hidden=True)
def group() -> None:
    """Work with the backups of this host."""


@group.command("create")
@_of_folder
@click.option("--inventory", type=click.Path(path_type=Path), envvar="V2T_BACKUP_INVENTORY", default=Path("/nowhere"))
@click.option("--keep", type=click.IntRange(min=1), envvar="V2T_BACKUP_KEEP", default=7, show_default=True)
@returns_result
def create(folder: Path, inventory: Path, keep: int) -> Result:
    """Make a backup."""
    import importlib.metadata

    from v2t.cluster.backups import work

    shelf = _shelf(folder)
    made = work.create(shelf, _bucketeer(shelf), inventory, keep, importlib.metadata.version("v2t"), say)
    data = {"folder": str(folder), "backup": _described(made.manifest), "removed": list(made.removed)}
    return Result(data=data)


@group.command("list")
@_of_folder
@returns_result
def list_(folder: Path) -> Result:
    """List backups, the newest first."""
    from v2t.cluster.backups.work import VERIFIED

    shelf = _shelf(folder)
    backups: list[dict[str, Any]] = []
    errors: list[V2TError] = []
    for name in reversed(shelf.names()):
        mark = shelf.folder / name / VERIFIED
        try:
            found = _described(shelf.read_manifest(shelf.folder / name))
        except V2TError as error:
            errors.append(error)
        else:
            backups.append({**found, "verified_at": mark.stat().st_mtime if mark.exists() else None})
    return Result(data={"folder": str(folder), "backups": backups}, errors=tuple(errors))


@group.command("verify")
@_of_name
@_of_folder
@returns_result
def verify(name: str, folder: Path) -> Result:
    """Read a backup back."""
    from v2t.cluster.backups import work

    manifest, problems = work.verify(_shelf(folder), name, say)
    told = problems[:_MOST_ERRORS]
    if more := len(problems) - len(told):
        told.append(f"and {counted(more, 'more part')}")
    errors = tuple(StorageDamaged(f"{manifest.name}: {problem}") for problem in told)
    return Result(data={"backup": _described(manifest), "problems": problems}, errors=errors)


@group.command("check")
@_of_name
@_of_folder
@returns_result
def check(name: str, folder: Path) -> Result:
    """See whether a backup could be brought back, and change nothing."""
    from v2t.cluster.backups import work

    shelf = _shelf(folder)
    return Result(data={"backup": _described(work.check(shelf, _bucketeer(shelf), name, say))})


@group.command("restore")
@_of_name
@_of_folder
@returns_result
def restore(name: str, folder: Path) -> Result:
    """Bring a backup back; Temporal and the workers must be stopped."""
    from v2t.cluster.backups import work

    shelf = _shelf(folder)
    manifest, sent = work.restore(shelf, _bucketeer(shelf), name, say)
    return Result(data={"backup": _described(manifest), "objects_sent": sent})


def _shelf(folder: Path) -> Shelf:
    from v2t.cluster.backups.shelf import Shelf

    return Shelf(folder)


def _bucketeer(shelf: Shelf) -> Bucketeer:
    from v2t import wiring
    from v2t.cluster.backups.objects import Bucketeer
    from v2t.config import load_settings

    settings = load_settings()
    part_bytes = settings.storage.part_mb << 20
    return Bucketeer(wiring.store_account(settings), wiring.buckets(settings), shelf, part_bytes)


def _described(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "objects": manifest.objects,
        "size_bytes": manifest.size_bytes,
        "without_transcript": manifest.without_transcript,
    }
