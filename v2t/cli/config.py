"""`v2t config`: show, write and check the settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from v2t.cli.output import Result, as_table, returns_result
from v2t.domain.errors import UsageError

_HEADER = """\
# v2t settings. A key that stays commented out keeps its default, shown here.
# `v2t config validate` checks this file, `v2t config show` tells where each value comes from.
"""


@click.group("config")
def group() -> None:
    """Show, write and check the settings."""


@group.command()
@returns_result
def show() -> Result:
    """Print every setting, its value and where it comes from."""
    from v2t.config import describe_settings, load_settings

    settings = load_settings()
    values = settings.model_dump(mode="json")
    rows = [
        {
            "name": setting.name,
            "value": values[setting.section][setting.key],
            "source": settings.source_of(setting.name),
        }
        for setting in describe_settings()
    ]
    cells = [(row["name"], _literal(row["value"]), row["source"]) for row in rows]
    return Result(data={"settings": rows}, lines=as_table(("SETTING", "VALUE", "SOURCE"), cells))


@group.command()
@click.option(
    "--path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("v2t.toml"),
    show_default=True,
    help="File to write; it must not exist.",
)
@returns_result
def init(path: Path) -> Result:
    """Write a settings file in which every key is explained and commented out."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # it may come to hold secrets
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(render_file())
    except FileExistsError as error:
        raise UsageError(f"{path} exists already; edit it, or choose another with --path") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; choose another with --path") from error
    return Result(data={"path": str(path)}, lines=[f"wrote {path}"])


@group.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@returns_result
def validate(file: Path | None) -> Result:
    """Check FILE alone, or all settings as they are in force."""
    from v2t.config import load_file, load_settings

    if file:
        load_file(file)
    else:
        load_settings()
    return Result(data={"valid": True}, lines=[f"{file or 'the settings'}: valid"])


def render_file() -> str:
    """A v2t.toml with every key commented out at its default, below its description."""
    from v2t.config import describe_section, describe_settings

    lines = [_HEADER]
    section = ""
    for setting in describe_settings():
        if setting.section != section:
            section = setting.section
            lines += [f"# {describe_section(section).splitlines()[0]}", f"[{section}]"]
        lines += [f"# {setting.description} Example: {_literal(setting.example)}"]
        lines += [f"# {setting.key} = {_literal(setting.default)}", ""]
    return "\n".join(lines)


def _literal(value: object) -> str:
    """As TOML writes it: for strings, numbers and booleans the same as JSON."""
    return json.dumps(value, ensure_ascii=False)
