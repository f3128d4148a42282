"""`v2t cluster artifacts wheels`."""

from __future__ import annotations

from pathlib import Path

import click

from v2t.cli.cluster_options import of_architecture, of_folder
from v2t.cli.output import Result, returns_result, say

_PYTHONS = ("3.11", "3.12", "3.13")  # v2t.cluster.wheelhouse's, which is not loaded for --help


@click.command("wheels")
@of_architecture
@click.option("--python", type=click.Choice(_PYTHONS), default="3.11", show_default=True, help="Of the hosts.")
@of_folder
@returns_result
def command(arch: str | None, python: str, folder: Path | None) -> Result:
    """Gather v2t and all that it needs for hosts that reach no package index.

    \b
    Examples:
      v2t cluster artifacts wheels
      v2t cluster artifacts wheels --arch arm64 --python 3.13
    """
    from v2t.cluster.artifacts import default_folder, this_architecture
    from v2t.cluster.wheelhouse import gather_wheels

    found = gather_wheels(folder or default_folder(), arch or this_architecture(), python, say)
    data = {
        "release": found.release,
        "dependencies": str(found.dependencies),
        "dependencies_digest": found.dependencies_digest,
        "wheel": str(found.wheel),
    }
    return Result(data=data, lines=[f"v2t {found.release} is at {found.wheel}, its wheels at {found.dependencies}"])
