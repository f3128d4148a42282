from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from v2t.cli.main import COMMANDS, cli

HEAVY = ("temporalio", "sqlalchemy", "pydantic", "av", "numpy", "onnxruntime", "rich", "faster_whisper", "httpx")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "v2t", *arguments], check=False, capture_output=True, text=True, timeout=30
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_says_what_the_overview_says(name: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    assert command.name == name
    assert COMMANDS[name][1]
    assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0


def test_the_overview_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from v2t.cli.main import cli\n"
        "help = CliRunner().invoke(cli, ['--help'])\n"
        "assert help.exit_code == 0 and 'transcribe' in help.output, help.output\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    process = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert process.stdout == "[]\n"


def test_the_help_names_every_command_and_exit_code() -> None:
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=200).output
    assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in COMMANDS)
    assert "0 ok, 1 failed, 2 usage, 3 configuration, 4 provider, 5 connection, 130" in shown


def test_examples_stand_line_by_line() -> None:
    shown = CliRunner().invoke(cli, ["transcribe", "--help"]).output
    assert "\\b" not in shown
    assert "  Examples:\n    v2t transcribe interview.mp3\n    v2t transcribe lecture.mp4 " in shown


def test_the_version() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"v2t {version('v2t')}\n"


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), ("--frobnicate",), ("transcribe",), ("jobs", "list", "--limit", "0")]
)
def test_a_command_line_that_is_wrong(arguments: tuple[str, ...]) -> None:
    process = run(*arguments)
    assert (process.returncode, process.stdout) == (2, "")
    assert "Error: " in process.stderr
    assert "Traceback" not in process.stderr


def test_the_process_ends_with_the_code_of_the_error(tmp_path: os.PathLike[str]) -> None:
    process = run("config", "validate", str(tmp_path / "no.toml"))  # type: ignore[operator]
    assert process.returncode == 2
    assert process.stderr.startswith("v2t: ")
