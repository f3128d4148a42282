"""`v2t cluster scale`: as many workers on this machine as the queue calls for."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from v2t.cli.output import Result, leave_at_once, returns_result, say
from v2t.domain.errors import UsageError

if TYPE_CHECKING:
    from v2t.cluster.instances import Instances
    from v2t.cluster.scaler import Scaler, Step
    from v2t.cluster.scaling import Limits
    from v2t.config import Settings


@click.command("scale")
@click.option("--min", "least", default=1, show_default=True, type=click.IntRange(0), help="Workers that always run.")
@click.option("--max", "most", default=0, type=click.IntRange(0), help="Workers at most; 0: one a core.")
@click.option(
    "--every",
    "every_seconds",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Seconds between looks.",
)
@click.option(
    "--units",
    is_flag=True,
    help="Start and end units of systemd, as v2t-scale.service of a deployed cluster does.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--once", is_flag=True, help="Look once, say what would be done, and end.")
@returns_result
def command(least: int, most: int, every_seconds: float, units: bool, dry_run: bool, once: bool) -> Result:
    """Run workers on this machine, more when much waits and fewer when little does, until Ctrl-C.

    It looks at the queue of this machine's kind of worker (`worker.kind`). Workers that end finish what
    they compute, within `worker.drain_seconds`; those that die are replaced. All end with this command.

    The hosts of a cluster do this by themselves where `worker_instances_most` is above `worker_instances`.

    \b
    Examples:
      v2t cluster scale --max 4
      v2t cluster scale --once --json
    """
    from v2t.cluster.scaling import Limits
    from v2t.config import load_settings

    settings = load_settings()
    most = most or max(least, len(os.sched_getaffinity(0)) // settings.engine.threads, 1)
    if least > most:
        raise UsageError(f"--min {least} is above --max {most}")
    limits = Limits(least=least, most=most)
    workers = _units(settings, limits) if units else _processes(settings)
    if once:
        return _as_result(asyncio.run(_look_once(settings, limits, workers)))
    asyncio.run(_serve(settings, limits, workers, every_seconds, dry_run=dry_run))
    last = "Nothing was changed." if dry_run else "The workers go on." if units else "All workers have ended."
    return Result(data={"ended": True}, lines=[last])


async def _look_once(settings: Settings, limits: Limits, workers: Instances) -> Step:
    return await (await _scaler(settings, limits, workers, dry_run=True)).step()


async def _serve(
    settings: Settings, limits: Limits, workers: Instances, every_seconds: float, *, dry_run: bool
) -> None:
    ended = asyncio.Event()

    def end() -> None:
        if ended.is_set():
            leave_at_once()
        ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    scaler = await _scaler(settings, limits, workers, dry_run=dry_run)
    await scaler.run(ended, every_seconds)


async def _scaler(settings: Settings, limits: Limits, workers: Instances, *, dry_run: bool) -> Scaler:
    from v2t import wiring
    from v2t.cluster.scaler import Scaler, observe_queue
    from v2t.planning import remote_providers

    client = await wiring.connect_client(settings)
    asked = {name: getattr(getattr(settings, name), "requests_per_minute", 0.0) for name in remote_providers(settings)}
    return Scaler(lambda: observe_queue(client, settings.worker.kind, asked), workers, limits, say, dry_run=dry_run)


def _units(settings: Settings, limits: Limits) -> Instances:
    """Those of systemd on this host."""
    from v2t.cluster.worker_units import WorkerUnits

    return WorkerUnits(limits.least, settings.worker.health_port, say)


def _processes(settings: Settings) -> Instances:
    """Processes of this command, none of them started yet."""
    from v2t.cluster.instances import LocalProcesses

    return LocalProcesses(settings.cache.folder / "workers", settings.worker.drain_seconds, say)


def _as_result(step: Step) -> Result:
    data = {"wanted": step.decision.wanted, "reason": step.decision.reason, "load": asdict(step.load)}
    return Result(data=data, lines=[f"{step.decision.wanted} workers: {step.decision.reason}"])
