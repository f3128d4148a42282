"""`v2t completion`: the script that makes a shell complete v2t's commands and options."""

from __future__ import annotations

import click

from v2t.cli.output import Result, returns_result


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@returns_result
def command(shell: str) -> Result:
    """Print the completion script for SHELL.

    \b
    Examples:
      v2t completion bash >> ~/.bashrc
      v2t completion zsh >> ~/.zshrc
      v2t completion fish > ~/.config/fish/completions/v2t.fish
    """
    from click.shell_completion import get_completion_class

    from v2t.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(cli, {}, "v2t", "_V2T_COMPLETE").source()
    return Result(data={"shell": shell, "script": script}, text=script)
