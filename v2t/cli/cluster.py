"""`v2t cluster`: what an operator does with the servers and machines of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.cluster_backup import group as backup
from v2t.cli.cluster_certs import group as certs
from v2t.cli.cluster_deploy import command as deploy
from v2t.cli.cluster_destroy import command as destroy
from v2t.cli.cluster_doctor import command as doctor
from v2t.cli.cluster_init import command as init
from v2t.cli.cluster_logs import command as logs
from v2t.cli.cluster_node import group as node
from v2t.cli.cluster_options import of_architecture, of_folder
from v2t.cli.cluster_plan import command as plan
from v2t.cli.cluster_secrets import group as secrets
from v2t.cli.cluster_ssh import execute, ssh
from v2t.cli.cluster_status import command as status
from v2t.cli.cluster_upgrade import rollback, upgrade
from v2t.cli.cluster_validate import command as validate
from v2t.cli.output import Result, as_table, returns_result, say
from v2t.cli.prepare import command as prepare
from v2t.cli.scale import command as scale
from v2t.cli.wheels import command as wheels
from v2t.domain.errors import ProgramCorrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from v2t.cluster.artifacts import Artifact, Artifacts


@click.group("cluster")
def group() -> None:
    """Set up the servers and machines of a cluster."""


group.add_command(init)
group.add_command(validate)
group.add_command(deploy)
group.add_command(backup)
group.add_command(certs)
group.add_command(secrets)
group.add_command(doctor)
group.add_command(plan)
group.add_command(status)
group.add_command(logs)
group.add_command(ssh)
group.add_command(execute)
group.add_command(node)
group.add_command(upgrade)
group.add_command(rollback)
group.add_command(destroy)
group.add_command(prepare)
group.add_command(scale)


@group.group("artifacts")
def artifacts() -> None:
    """Gather the third-party programs of a cluster on this machine."""


artifacts.add_command(wheels)


def _of_artifacts(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--only", default="", metavar="NAME", help="Only this program."),
        of_architecture,
        of_folder,
        click.option(
            "--sources",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            envvar="V2T_ARTIFACTS_SOURCES",
            help="YAML with entries that replace those of the lock.",
        ),
    ):
        function = option(function)
    return function


@artifacts.command("fetch")
@_of_artifacts
@returns_result
def fetch(only: str, arch: str | None, folder: Path | None, sources: Path | None) -> Result:
    """Bring what is missing or damaged: download it, or build it.

    Without --only, what every cluster needs. whisper-cli, for hosts of the group ssh_whisper, is brought when it is
    named: cmake and a C++ compiler build it, for the architecture of this machine alone.

    \b
    Examples:
      v2t cluster artifacts fetch
      v2t cluster artifacts fetch --only whisper-cli
      v2t cluster artifacts fetch --only minio --arch arm64
    """
    from v2t.cluster.artifacts import this_architecture

    found = _open(folder, sources).fetch(arch or this_architecture(), say, only)
    return Result(data=_data(found), lines=[f"{item.program.name} is at {item.path}" for item in found])


@artifacts.command("verify")
@_of_artifacts
@returns_result
def verify(only: str, arch: str | None, folder: Path | None, sources: Path | None) -> Result:
    """Read what was gathered, and compare it with the lock and its checksums."""
    from v2t.cluster.artifacts import State, fetch_command, this_architecture

    found = _open(folder, sources).look(arch or this_architecture(), only)
    if not only:
        found = [item for item in found if item.state is not State.MISSING or not item.program.group]
    wrong = [item for item in found if item.state is not State.WHOLE]
    errors = tuple(
        ProgramCorrupted(
            f"{item.program.name} is {item.state}; `{fetch_command(item.program, item.architecture)}` brings it"
        )
        for item in wrong
    )
    lines = [f"{item.program.name} {item.program.version} is whole" for item in found if item not in wrong]
    return Result(data=_data(found), lines=lines, errors=errors)


@artifacts.command("list")
@_of_artifacts
@returns_result
def list_artifacts(only: str, arch: str | None, folder: Path | None, sources: Path | None) -> Result:
    """Show the programs, their versions and licences, and which are here."""
    from v2t.cluster.artifacts import this_architecture

    found = _open(folder, sources).look(arch or this_architecture(), only)
    rows = [
        (item.program.name, item.program.version, item.program.licence, item.state.value, item.program.source)
        for item in found
    ]
    return Result(data=_data(found), lines=as_table(("PROGRAM", "VERSION", "LICENCE", "STATE", "SOURCE"), rows))


def _open(folder: Path | None, sources: Path | None) -> Artifacts:
    from v2t.cluster.artifacts import Artifacts, default_folder
    from v2t.cluster.lock import read_lock

    return Artifacts(read_lock(sources), folder or default_folder())


def _data(found: Sequence[Artifact]) -> dict[str, list[dict[str, str]]]:
    rows = [
        {
            "name": item.program.name,
            "version": item.program.version,
            "licence": item.program.licence,
            "architecture": item.architecture,
            "source": item.program.source,
            "path": str(item.path),
            "state": item.state.value,
        }
        for item in found
    ]
    return {"artifacts": rows}
