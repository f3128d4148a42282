"""`v2t batches`: how batches stand, and what to do with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from v2t.cli.batch_run import failure_lines, farewell
from v2t.cli.interruption import run_interruptible
from v2t.cli.job_records import shown_time
from v2t.cli.output import Result, as_table, counted, returns_result, say
from v2t.domain.errors import JobFailed, JobNotFound, UsageError
from v2t.domain.jobs import JobState, TranscribeOptions

if TYPE_CHECKING:
    from v2t.client.batches import BatchView
    from v2t.config import Settings
    from v2t.domain.batches import FileOutcome
    from v2t.standalone import Cluster

Value = TypeVar("Value")


@click.group("batches")
def group() -> None:
    """List, follow, pause, cancel and retry batches; `v2t batch` starts them."""


@group.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@returns_result
def list_(limit: int) -> Result:
    """List batches, the newest first."""
    from v2t.client.batches import list_batches

    async def collect(cluster: Cluster) -> list[BatchView]:
        return await list_batches(cluster.client, limit=limit)

    views = _on_cluster(collect)
    rows = [
        (view.batch_id, view.state.value, shown_time(view.created_at), shown_time(view.finished_at)) for view in views
    ]
    lines = as_table(("BATCH", "STATE", "STARTED", "ENDED"), rows) if rows else ["There are no batches."]
    return Result(data={"batches": [asdict(view) for view in views]}, lines=lines)


@group.command()
@click.argument("batch_id")
@returns_result
def show(batch_id: str) -> Result:
    """Show how far BATCH_ID is."""
    from v2t.cli.batch_progress import describe
    from v2t.client.batches import describe_batch

    async def look(cluster: Cluster) -> BatchView:
        return await describe_batch(cluster.client, batch_id)

    view = _on_cluster(look)
    ended = f", ended {shown_time(view.finished_at)}" if view.finished_at else ""
    lines = [f"{batch_id}: {view.state.value}, started {shown_time(view.created_at)}{ended}"]
    if view.progress:
        lines.append(describe(view))
    return Result(data=asdict(view), lines=lines)


@group.command()
@click.argument("batch_id")
@returns_result
def watch(batch_id: str) -> Result:
    """Follow BATCH_ID until it ends, and report."""
    from v2t.cli.batch_progress import open_batch_display
    from v2t.gathering.batch import follow

    settings = _settings()

    async def run() -> None:
        from v2t import deployment

        async with deployment.open_cluster(settings) as cluster:
            with open_batch_display(0, quiet=False) as update:
                await follow(settings, TranscribeOptions(), cluster, batch_id, on_view=update)

    try:
        run_interruptible(run())
    except KeyboardInterrupt:
        say(farewell(settings, batch_id))
        raise
    return _report(settings, batch_id)


@group.command()
@click.argument("batch_id")
@returns_result
def report(batch_id: str) -> Result:
    """Print how each file of BATCH_ID ended."""
    return _report(_settings(), batch_id)


@group.command()
@click.argument("batch_id")
@returns_result
def cancel(batch_id: str) -> Result:
    """Stop BATCH_ID; what is finished is kept."""
    from v2t.client.batches import cancel_batch

    return _tell(batch_id, lambda cluster: cancel_batch(cluster.client, batch_id), "is being cancelled")


@group.command()
@click.argument("batch_id")
@returns_result
def pause(batch_id: str) -> Result:
    """Begin no further files of BATCH_ID; those that run go on."""
    from v2t.client.batches import pause_batch

    return _tell(batch_id, lambda cluster: pause_batch(cluster.client, batch_id), "is paused")


@group.command()
@click.argument("batch_id")
@returns_result
def resume(batch_id: str) -> Result:
    """Go on with BATCH_ID after a pause."""
    from v2t.client.batches import pause_batch

    return _tell(batch_id, lambda cluster: pause_batch(cluster.client, batch_id, paused=False), "goes on")


@group.command()
@click.argument("batch_id")
@click.argument("number", type=click.IntRange(1, 5))
@returns_result
def priority(batch_id: str, number: int) -> Result:
    """Give what BATCH_ID has not begun yet the priority NUMBER, 1 to 5; 1 is the most urgent."""
    from v2t.client.batches import prioritise_batch

    return _tell(
        batch_id,
        lambda cluster: prioritise_batch(cluster.client, batch_id, number),
        f"has priority {number} from here on",
    )


@group.command()
@click.argument("batch_id")
@returns_result
def retry(batch_id: str) -> Result:
    """Run BATCH_ID again after it ended, for those of its files that have no transcript."""
    from v2t.client.batches import describe_batch
    from v2t.gathering.batch import submit_again

    settings = _settings()
    if not settings.is_cluster:
        from v2t.cli.service import keep_up

        keep_up(settings)

    async def again(cluster: Cluster) -> None:
        view = await describe_batch(cluster.client, batch_id)
        if view.state == JobState.RUNNING:
            raise UsageError(f"{batch_id} is running; `v2t batches watch {batch_id}` follows it.")
        await submit_again(settings, cluster, batch_id)

    _on_cluster(again)
    lines = [f"{batch_id} runs again; `v2t batches watch {batch_id}` follows it"]
    return Result(data={"batch_id": batch_id}, lines=lines)


def _settings() -> Settings:
    from v2t.config import load_settings

    return load_settings()


def _on_cluster(action: Callable[[Cluster], Awaitable[Value]], *, work: bool = False) -> Value:
    settings = _settings()

    async def run() -> Value:
        from v2t import deployment

        async with deployment.open_cluster(settings, work=work) as cluster:
            return await action(cluster)

    return asyncio.run(run())


def _tell(batch_id: str, action: Callable[[Cluster], Awaitable[None]], done: str) -> Result:
    """Do something to a batch that runs."""
    _on_cluster(action, work=True)
    return Result(data={"batch_id": batch_id}, lines=[f"{batch_id} {done}"])


def _report(settings: Settings, batch_id: str) -> Result:
    from v2t import wiring
    from v2t.client.batches import iterate_report
    from v2t.domain.errors import ObjectMissing

    try:
        outcomes = list(iterate_report(wiring.open_store(settings), batch_id))
    except ObjectMissing as error:
        raise JobNotFound(f"{batch_id} has no report; `v2t batches show {batch_id}` tells how far it is.") from error
    return _as_result(batch_id, outcomes)


def _as_result(batch_id: str, outcomes: list[FileOutcome]) -> Result:
    bad = [outcome for outcome in outcomes if outcome.state != JobState.COMPLETED]
    lines = failure_lines([(outcome.name, outcome.state.value, outcome.error_message) for outcome in bad])
    lines.append(f"{counted(len(outcomes), 'file')}: {len(outcomes) - len(bad)} completed, {len(bad)} not")
    data: dict[str, Any] = {"batch_id": batch_id, "files": [asdict(outcome) for outcome in outcomes]}
    errors = (JobFailed(f"{len(bad)} of {counted(len(outcomes), 'file')} got no transcript."),) if bad else ()
    return Result(data=data, lines=lines, errors=errors)
