"""`v2t worker run`: a process that does jobs' work for a cluster."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

import click

from v2t.cli.output import Result, leave_at_once, returns_result, say

if TYPE_CHECKING:
    from v2t.config import Settings


@click.group("worker")
def group() -> None:
    """Do the work of a cluster on this machine."""


@group.command("run")
@returns_result
def run() -> Result:
    """Take work from the cluster's queues until SIGTERM or Ctrl-C, then drain.

    What it takes, with how many slots, and where its health server listens are settings:
    `worker.kind`, `engine.slots`, `worker.health_port`. It waits for servers that are not up yet, and
    outlives the loss of each. A second signal ends it at once; what it was doing is then noticed as
    lost, and done by another worker.

    \b
    Examples:
      v2t worker run
      V2T_WORKER__KIND=memory V2T_WORKER__HEALTH_PORT=8082 v2t worker run
    """
    from v2t.config import load_settings

    logging.getLogger("v2t").setLevel(logging.INFO)
    asyncio.run(_serve(load_settings()))
    return Result(lines=["The worker has ended."])


async def _serve(settings: Settings) -> None:
    from v2t.worker.service import Host, serve_worker
    from v2t.worker.systemd import Notifier

    ended = asyncio.Event()

    def end() -> None:
        if ended.is_set():
            leave_at_once()
        ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    await serve_worker(settings, ended, Host(say, Notifier()))
