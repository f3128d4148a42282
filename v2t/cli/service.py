"""`v2t up` and `v2t down`: the embedded cluster, kept running between calls."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from v2t.cli.output import Result, returns_result
from v2t.domain.errors import ClusterUnreachable

if TYPE_CHECKING:
    from v2t.config import Settings
    from v2t.standalone import Running

_WAIT_SECONDS = 40.0
_POLL_SECONDS = 0.05
_TURN_SECONDS = 0.5
_PATIENCE_SECONDS = 5.0
"""A cluster that runs after this time and is not ours belongs to a call that goes on: ours is in line."""


@click.command("up")
@click.option("--foreground", is_flag=True, help="Stay attached, until Ctrl-C.")
@returns_result
def up(foreground: bool) -> Result:
    """Keep the embedded cluster running, with the default model loaded, so that calls start at once.

    \b
    Examples:
      v2t up
      v2t up --foreground
    """
    from v2t.config import load_settings

    settings = load_settings()
    if foreground:
        asyncio.run(_serve(settings))
        return Result(lines=["The embedded cluster has ended."])
    running = keep_up(settings)
    lines = [f"The embedded cluster runs: Temporal at {running.address}, process {running.pid}."]
    if running.ui_address:
        lines.append(f"Its web page is {running.ui_address}.")
    data = {"address": running.address, "pid": running.pid, "ui_address": running.ui_address}
    return Result(data=data, lines=lines)


@click.command("down")
@returns_result
def down() -> Result:
    """End the embedded cluster; jobs that run go on when it is next started.

    \b
    Example:
      v2t down
    """
    from v2t.config import load_settings
    from v2t.standalone import find_running

    folder = load_settings().standalone.folder
    running = find_running(folder)
    if running is None:
        return Result(data={"ended": False}, lines=["The embedded cluster was not running."])
    with suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + _WAIT_SECONDS
    while (still := find_running(folder)) and still.pid == running.pid:
        if time.monotonic() > deadline:
            raise ClusterUnreachable(f"Process {running.pid} does not end; `kill -9 {running.pid}` ends it by force.")
        time.sleep(_POLL_SECONDS)
    return Result(data={"ended": True}, lines=["The embedded cluster has ended."])


def keep_up(settings: Settings) -> Running:
    """Make sure that a process of its own runs the embedded cluster.

    Where another call runs it just now, the new process waits for its turn.

    Raises:
        ClusterUnreachable: it did not start; the message has its last words.
    """
    from v2t.standalone import find_running, prepare_folder

    folder = prepare_folder(settings.standalone.folder)
    running = find_running(folder)
    if running and running.kept:
        return running
    log = folder / "cluster.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "v2t", "up", "--foreground"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # it outlives this call and its terminal
        )
    started = time.monotonic()
    while time.monotonic() < started + _WAIT_SECONDS and process.poll() is None:
        running = find_running(folder)
        if running and (running.pid == process.pid or time.monotonic() > started + _PATIENCE_SECONDS):
            return running
        time.sleep(_POLL_SECONDS)
    process.terminate()
    words = log.read_text(errors="replace").strip().splitlines()
    raise ClusterUnreachable(f"The embedded cluster did not start: {words[-1] if words else f'see {log}'}")


async def _serve(settings: Settings) -> None:
    from v2t.standalone import open_cluster

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    while not ended.is_set():
        async with open_cluster(settings, model=settings.models.default, keep=True, busy=True) as cluster:
            if cluster.owned:
                await ended.wait()
                return
        # Somebody's call runs the cluster just now: take over when it ends.
        await asyncio.sleep(_TURN_SECONDS)
