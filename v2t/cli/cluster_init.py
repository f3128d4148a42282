"""`v2t cluster init`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from v2t.cli.cluster_options import of_vault
from v2t.cli.output import Result, is_terminal, printable, returns_result, say
from v2t.domain.errors import UsageError

if TYPE_CHECKING:
    from v2t.cluster.initialization import Wishes
    from v2t.cluster.machines import Machine

Answer = TypeVar("Answer")


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--control", metavar="HOST=ADDRESS", help="The host that carries the servers.")
@click.option("--worker", "workers", metavar="HOST=ADDRESS", multiple=True, help="A host that transcribes. Repeatable.")
@click.option("--user", metavar="USER", help="Account for SSH: root, or one that may use sudo. Default: root.")
@of_vault
@returns_result
def command(
    folder: Path, control: str | None, workers: tuple[str, ...], user: str | None, password: Path | None
) -> Result:
    """Write an inventory: hosts, settings, and a vault with new secrets.

    What is there already is never changed: run again, it adds hosts, files and secrets that are missing.
    At a terminal it asks for what the options leave open.

    \b
    Examples:
      v2t cluster init inventory/office --control m2=10.0.0.2 --worker m4-1=10.0.0.41
      v2t cluster init inventory/office --worker m4-2=10.0.0.42
    """
    from v2t.cluster.initialization import HOSTS, Wishes, initialize
    from v2t.cluster.machines import parse_machine

    wishes = Wishes(
        control=parse_machine(control) if control else None,
        workers=[parse_machine(worker) for worker in workers],
        user=user or "root",
    )
    if wishes.control is None and not (folder / HOSTS).exists() and _is_attended():
        wishes = _ask(wishes, user)
    steps = initialize(folder, wishes, password)
    return Result(
        data={"steps": [{"path": str(step.path), "what": step.what, "changed": step.changed} for step in steps]},
        lines=[printable(f"{step.path}: {step.what}") for step in steps],
    )


def _is_attended() -> bool:
    return sys.stdin.isatty() and is_terminal()


def _ask(wishes: Wishes, user: str | None) -> Wishes:
    """Questions on stderr, each until its answer is valid."""
    from v2t.cluster.initialization import Wishes
    from v2t.cluster.machines import parse_machine, user_problem

    def machine(answer: str) -> Machine | None:
        return parse_machine(answer.strip()) if answer.strip() else None

    def account(answer: str) -> str:
        if problem := user_problem(answer):
            raise UsageError(problem)
        return answer

    control = _question("Control host, as HOST=ADDRESS", parse_machine)
    workers = list(wishes.workers)
    while not wishes.workers and (worker := _question("Worker, as HOST=ADDRESS (empty: no more)", machine, "")):
        workers.append(worker)
    return Wishes(control, workers, user or _question("Account for SSH", account, "root"))


def _question(text: str, read: Callable[[str], Answer], default: str | None = None) -> Answer:
    while True:
        answer = click.prompt(text, default=default, show_default=bool(default), err=True)
        try:
            return read(str(answer))
        except UsageError as error:
            say(error.message)
