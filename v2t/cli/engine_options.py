"""The options that say what is asked of an engine, the same for every command that transcribes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from v2t.domain.errors import UsageError

_Command = TypeVar("_Command", bound=Callable[..., Any])

_FORMATS = ("txt", "srt", "vtt", "json", "tsv", "lrc")


def _parse_tags(_context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    from v2t.domain.tags import parse_tags

    try:
        return parse_tags(words)
    except UsageError as error:
        raise click.BadParameter(error.message) from error


tag_option = click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="NAME",
    callback=_parse_tags,
    help="Word for the rules that choose providers; may be given several times.",
)
"""Add `--tag`, which a command takes as `tags`."""

_OPTIONS = (
    click.option(
        "--provider",
        default="auto",
        show_default=True,
        help="auto (whom the rules and the chain of the settings choose), local (the fastest engine installed), "
        "or one of `v2t providers list`.",
    ),
    click.option(
        "-m", "--model", default="", help="Whisper model; see `v2t models list`. [default: the setting models.default]"
    ),
    click.option(
        "-l", "--language", default="", help="Language spoken, as a code or an English name. [default: detect it]"
    ),
    click.option("--translate", is_flag=True, help="Translate into English."),
    click.option("--prompt", default="", help="Words to expect, such as names and terms."),
    click.option(
        "--priority",
        type=click.IntRange(1, 5),
        default=3,
        show_default=True,
        help="Urgency on a cluster, 1 the highest.",
    ),
    tag_option,
)


def engine_options(command: _Command) -> _Command:
    """Add `--provider`, `--model`, `--language`, `--translate`, `--prompt`, `--priority` and `--tag`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


format_option = click.option(
    "-f",
    "--format",
    "formats",
    default="txt",
    show_default=True,
    help=f"One or more of {', '.join(_FORMATS)}, separated by commas.",
)
"""Add `--format`, which a command takes as `formats`."""
