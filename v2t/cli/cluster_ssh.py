"""`v2t cluster ssh` and `v2t cluster exec`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from v2t.cli.cluster_hosts import errors_of, line_printer, open_hosts
from v2t.cli.cluster_options import of_inventory
from v2t.cli.output import Result, returns_result
from v2t.domain.errors import UsageError

_WORDS = click.argument("words", nargs=-1, metavar="[COMMAND]...")
_AS_TYPED = {"allow_interspersed_args": False}  # options after the command are the command's


@click.command("ssh", context_settings=_AS_TYPED)
@of_inventory
@click.argument("name", metavar="HOST")
@_WORDS
def ssh(named: Path | None, password: Path | None, name: str, words: tuple[str, ...]) -> NoReturn:
    """Log in to a host, or run a command there, as the inventory says it is reached.

    One word is a line for the shell of the host; several are a command and its arguments. The exit code is the
    command's; 255 says that the host was not reached.

    \b
    Examples:
      v2t cluster ssh m2
      v2t cluster ssh m4-1 systemctl status v2t-worker@1
      v2t cluster ssh m4-1 'df -h | grep /var'
    """
    from v2t.cluster.hosts import ssh_command

    host = next((host for host in open_hosts(named, password) if host.name == name), None)
    if not host:
        raise UsageError(f"the inventory has no host {name!r}")
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    command = ssh_command(host, _as_line(words), terminal=is_terminal)
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)  # noqa: S606 - the terminal, signals and the exit code are its own
    except FileNotFoundError:
        raise UsageError(f"{command[0]} is not installed on this machine") from None


@click.command("exec", context_settings=_AS_TYPED)
@of_inventory
@click.option("--hosts", "wanted", default="", metavar="NAMES", help="Hosts or groups, with commas. Default: all.")
@click.argument("words", nargs=-1, required=True, metavar="COMMAND...")
@returns_result
def execute(named: Path | None, password: Path | None, wanted: str, words: tuple[str, ...]) -> Result:
    """Run a command on several hosts at once, with each host's name before its lines.

    One word is a line for the shell of the host; several are a command and its arguments. The exit code is the
    highest of the hosts', or 5 where one was not reached. It runs with the rights of the inventory's account.

    \b
    Examples:
      v2t cluster exec -- uptime
      v2t cluster exec --hosts workers -- 'df -h /var | tail -1'
      v2t cluster exec --hosts m2,m4-1 -- sudo systemctl is-system-running
    """
    from v2t.cluster.hosts import ask_all, choose_hosts, stream

    hosts = choose_hosts(open_hosts(named, password), filter(None, wanted.split(",")))
    command = _as_line(words)
    if click.get_current_context().params.get("as_json"):
        answers = ask_all(hosts, command)
    else:
        answers = stream(hosts, command, line_printer(hosts))
    data = {
        answer.host: {"exit_code": answer.exit_code, "stdout": answer.stdout, "stderr": answer.stderr}
        for answer in answers
    }
    return Result(data={"hosts": data}, errors=errors_of(answers, "the command"))


def _as_line(words: tuple[str, ...]) -> str:
    import shlex

    words = words[1:] if words[:1] == ("--",) else words
    return words[0] if len(words) == 1 else shlex.join(words)
