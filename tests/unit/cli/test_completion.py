from __future__ import annotations

import shutil
import subprocess

import pytest
from click.testing import CliRunner

from v2t.cli.main import cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_the_shell_and_the_program(shell: str) -> None:
    run = CliRunner().invoke(cli, ["completion", shell])
    assert run.exit_code == 0
    assert "_V2T_COMPLETE" in run.stdout
    assert "v2t" in run.stdout


def test_bash_understands_its_script() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    script = CliRunner().invoke(cli, ["completion", "bash"]).stdout
    subprocess.run([bash, "-n"], input=script, text=True, check=True)


def test_another_shell_is_refused() -> None:
    assert CliRunner().invoke(cli, ["completion", "cmd"]).exit_code == 2
