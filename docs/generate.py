"""Write the reference pages from the code: configuration.md and commands.md.

python docs/generate.py            write them
python docs/generate.py --check    fail when one is stale
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from v2t.cli.main import cli
from v2t.config import describe_section, describe_settings

FOLDER = Path(__file__).parent
NOTICE = "<!-- Written by docs/generate.py; edit the code it describes, then run `make docs`. -->"

CONFIGURATION = """\
A value is taken from the first of these that has it:

1. the command's flag, where there is one
2. the environment variable
3. `./v2t.toml`
4. `~/.config/v2t/config.toml`
5. `/etc/v2t/config.toml`
6. the default

Where `V2T_CONFIG` names a file, it is read instead of the three, so that several clusters can be told apart.

`v2t config show` tells where each value comes from, `v2t config init` writes a file to start from, and
`v2t config validate` checks one. An unknown key is an error.
A secret may be written as `file:/path` or `env:NAME`; it is then read from there when it is used."""


def render_configuration() -> str:
    """The page of settings."""
    lines = ["# Configuration", "", NOTICE, "", CONFIGURATION]
    section = ""
    for setting in describe_settings():
        if setting.section != section:
            section = setting.section
            lines += ["", f"## `[{section}]`", "", describe_section(section), ""]
            lines += ["| Key | Default | Example | Environment | Meaning |", "|---|---|---|---|---|"]
        default, example = (f"`{json.dumps(value)}`" for value in (setting.default, setting.example))
        lines.append(
            f"| `{setting.key}` | {default} | {example} | `{setting.environment}` | {_cell(setting.description)} |"
        )
    return "\n".join(lines) + "\n"


def render_commands() -> str:
    """The page of commands, each with its own `--help`."""
    lines = ["# Commands", "", NOTICE]
    for context in _walk(click.Context(cli, info_name="v2t", terminal_width=100, **cli.context_settings)):
        lines += ["", f"## `{context.command_path}`", "", "```text", context.get_help().rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _walk(context: click.Context) -> Iterator[click.Context]:
    """A command's context, then those of the commands below it that are not hidden."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                yield from _walk(click.Context(command, parent=context, info_name=name))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str]) -> str | None:
    """Write the pages, or with `--check` answer which are stale."""
    pages = {FOLDER / "configuration.md": render_configuration(), FOLDER / "commands.md": render_commands()}
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        return f"stale: {', '.join(path.name for path in stale)}; run `make docs`" if stale else None
    for path in stale:
        path.write_text(pages[path], encoding="utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
