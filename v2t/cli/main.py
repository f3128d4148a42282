"""`v2t`: the table of commands, each loaded when it is called, and the boundary where errors become exit codes."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
from contextlib import suppress

import click

from v2t.cli.output import INTERRUPTED_EXIT_CODE, print_error, say
from v2t.domain.errors import DISK_FULL, StorageFull, V2TError

COMMANDS: dict[str, tuple[str, str]] = {
    "transcribe": ("v2t.cli.transcribe:command", "Turn audio or video files into text."),
    "batch": ("v2t.cli.batch:command", "Transcribe many files as one batch."),
    "batches": ("v2t.cli.batches:group", "List, follow, pause, cancel and retry batches."),
    "watch": ("v2t.cli.watch:command", "Transcribe what appears in a folder or bucket."),
    "jobs": ("v2t.cli.jobs:group", "List, watch, pause, cancel and retry jobs."),
    "health": ("v2t.cli.health:command", "Show how every part of the system is."),
    "gateway": ("v2t.cli.gateway:group", "Take in recordings dropped into the object store."),
    "providers": ("v2t.cli.providers:group", "List providers, and explain whom the rules choose."),
    "models": ("v2t.cli.models:group", "List, pull, push, verify and remove speech models."),
    "config": ("v2t.cli.config:group", "Show, write and check the settings."),
    "worker": ("v2t.cli.worker:group", "Do the work of a cluster on this machine."),
    "cluster": ("v2t.cli.cluster:group", "Set up the servers and machines of a cluster."),
    "up": ("v2t.cli.service:up", "Keep the embedded cluster running."),
    "down": ("v2t.cli.service:down", "End the embedded cluster."),
    "completion": ("v2t.cli.completion:command", "Print the shell's completion script."),
}
"""Name → where it lives, and the line that `v2t --help` shows."""

_COLLECT_EVERY = 100_000
"""New objects between two searches for garbage: Python's own 700 cost a call a tenth of a second of importing."""


class _LazyGroup(click.Group):
    """Loads a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        import importlib.metadata

        sys.stdout.write(f"v2t {importlib.metadata.version('v2t')}\n")
        context.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 provider, 5 connection, 130 interrupted.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, on stderr.")
def cli(verbose: bool) -> None:
    """Private speech-to-text on your own machines.

    \b
    Examples:
      v2t transcribe interview.mp3
      v2t transcribe talk.mp4 --format srt --output subtitles/
      v2t jobs list
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.CRITICAL,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def main() -> None:
    """Run the command line and end the process.

    It does not end the way Python does: threads of the Temporal SDK may call into an interpreter that is being taken
    down, which aborts the process, a few times in a hundred. All that needs closing is closed before.
    """
    gc.set_threshold(_COLLECT_EVERY)
    code = _run()
    with suppress(OSError):  # what could not be written has been reported
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run() -> int:
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED_EXIT_CODE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except V2TError as error:
        print_error(error)
        return error.exit_code
    except BrokenPipeError:  # the reader of stdout went away, as `head` does
        return 1
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        print_error(StorageFull("The output could not be written: no space left on the disk."))
        return StorageFull.exit_code
    return code if isinstance(code, int) else 0
