"""`v2t jobs`: what was asked, how it stands, how it ended."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from v2t.cli.job_costs import command as cost
from v2t.cli.job_records import collect_jobs, running_record, shown_length, shown_time
from v2t.cli.moment import Moment
from v2t.cli.output import Result, as_table, returns_result
from v2t.domain.errors import JobCancelled, JobFailed, JobNotFound, UsageError, V2TError, from_wire
from v2t.domain.jobs import JobState
from v2t.domain.ports import JobFilter
from v2t.domain.records import JobRecord

if TYPE_CHECKING:
    from v2t.client import JobView
    from v2t.standalone import Cluster

Value = TypeVar("Value")

_STATES = [state.value for state in JobState]


@click.group("jobs")
def group() -> None:
    """List, watch, pause, cancel and retry jobs."""


group.add_command(cost)


@group.command("list")
@click.option("--user", default="", help="Only this user's jobs.")
@click.option("--state", type=click.Choice(_STATES), help="Only jobs in this state.")
@click.option("--provider", default="", help="Only jobs of this provider.")
@click.option("--batch", default="", help="Only jobs of this batch.")
@click.option("--since", type=Moment(), help="Only jobs begun since then: 2h, 3d, 2026-11-25 or 2026-11-25T14:30.")
@click.option("--until", type=Moment(), help="Only jobs begun before then.")
@click.option("--text", default="", help="Only jobs whose file name or id contains this, whatever the case.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@returns_result
def list_(
    user: str,
    state: str | None,
    provider: str,
    batch: str,
    since: float | None,
    until: float | None,
    text: str,
    limit: int,
) -> Result:
    """List jobs, the newest first.

    \b
    Examples:
      v2t jobs list
      v2t jobs list --state failed --since 2d --json
      v2t jobs list --user ada --text interview
    """
    wanted = JobFilter(
        user=user,
        state=JobState(state) if state else None,
        provider=provider,
        batch_id=batch,
        text=text,
        since=since or 0.0,
        until=until or 0.0,
        limit=limit,
    )
    records = _on_cluster(lambda cluster: collect_jobs(cluster, wanted))
    rows = [
        (
            record.job_id,
            record.state.value,
            shown_time(record.created_at),
            shown_length(record.audio_seconds),
            record.name,
        )
        for record in records
    ]
    lines = as_table(("JOB", "STATE", "STARTED", "LENGTH", "FILE"), rows) if rows else ["There are no jobs."]
    return Result(data={"jobs": [dataclasses.asdict(record) for record in records]}, lines=lines)


@group.command()
@click.argument("job_id")
@returns_result
def show(job_id: str) -> Result:
    """Show everything known about JOB_ID."""

    async def look(cluster: Cluster) -> dict[str, Any]:
        view, record = await _look_up(cluster, job_id)
        facts: dict[str, Any] = dataclasses.asdict(record) if record else {}
        if view and view.state == JobState.RUNNING:
            facts |= dataclasses.asdict(await running_record(cluster, view))
            facts["progress"] = dataclasses.asdict(view.progress) if view.progress else None
            facts["attempt"], facts["last_failure"] = view.attempt, view.last_failure
        return facts

    facts = _on_cluster(look)
    return Result(data=facts, lines=[f"{name}: {_shown(name, value)}" for name, value in facts.items() if value])


@group.command()
@click.argument("job_id")
@returns_result
def watch(job_id: str) -> Result:
    """Follow JOB_ID until it ends."""
    from v2t.cli.progress import open_watch

    async def follow(cluster: Cluster) -> JobState:
        view, record = await _look_up(cluster, job_id)
        if view is None or view.state != JobState.RUNNING:
            return view.state if view else record.state if record else JobState.FAILED
        with open_watch(job_id) as update:
            async for view in cluster.client.watch(job_id):
                update(view)
        return view.state

    state = _on_cluster(follow, work=True)
    errors = () if state == JobState.COMPLETED else (JobFailed(f"{job_id} is {state.value}"),)
    return Result(data={"job_id": job_id, "state": state}, lines=[] if errors else [state.value], errors=errors)


@group.command()
@click.argument("job_id")
@click.option("-f", "--format", "format_", default="txt", show_default=True, help="txt, srt, vtt, json, tsv or lrc.")
@returns_result
def result(job_id: str, format_: str) -> Result:
    """Print the transcript of JOB_ID, waiting for it if it still runs."""
    from v2t.cli.destination import Destination
    from v2t.domain.subtitles import SubtitleLimits
    from v2t.domain.transcript import to_document
    from v2t.submission import stored_transcript

    destination = Destination.parse(format_, None, beside=False, files=())

    async def fetch(cluster: Cluster) -> Any:
        view, record = await _look_up(cluster, job_id)
        if (
            record
            and record.state in {JobState.FAILED, JobState.CANCELLED}
            and not (view and view.state == JobState.RUNNING)
        ):
            raise from_wire(record.error_code, record.error_message)
        if view:
            await cluster.client.result(job_id)
        return await asyncio.to_thread(stored_transcript, cluster.store, job_id)

    transcript = _on_cluster(fetch, work=True)
    return Result(data=to_document(transcript), text=destination.text(transcript, SubtitleLimits()))


@group.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@returns_result
def cancel(job_ids: tuple[str, ...]) -> Result:
    """Stop jobs; their finished chunks are kept for a retry."""

    async def stop(cluster: Cluster) -> tuple[list[str], list[V2TError]]:
        cancelled: list[str] = []
        errors: list[V2TError] = []
        for job_id in job_ids:
            try:
                await _cancel(cluster, job_id)
                cancelled.append(job_id)
            except V2TError as error:
                errors.append(error)
        return cancelled, errors

    cancelled, errors = _on_cluster(stop, work=True)
    return Result(
        data={"job_ids": cancelled}, lines=[f"{job_id} is cancelled" for job_id in cancelled], errors=tuple(errors)
    )


@group.command()
@click.argument("job_id")
@returns_result
def retry(job_id: str) -> Result:
    """Run JOB_ID again after it failed or was cancelled; it goes on from its finished chunks."""
    from v2t.cli.service import keep_up
    from v2t.config import load_settings

    settings = load_settings()
    if not settings.is_cluster:
        keep_up(settings)

    async def again(cluster: Cluster) -> None:
        view, _ = await _look_up(cluster, job_id)
        if view is None:
            raise JobNotFound(f"Temporal no longer knows {job_id}; run `v2t transcribe` on the file again.")
        if view.state in {JobState.RUNNING, JobState.COMPLETED}:
            raise UsageError(f"{job_id} is {view.state.value}; there is nothing to retry.")
        await cluster.client.submit(await cluster.client.request(job_id))

    _on_cluster(again)
    return Result(data={"job_id": job_id}, lines=[f"{job_id} runs again; `v2t jobs watch {job_id}` follows it"])


@group.command()
@click.argument("job_id")
@returns_result
def pause(job_id: str) -> Result:
    """Begin no further steps of JOB_ID; those that compute go on to their end."""
    return _tell(job_id, lambda cluster: cluster.client.pause(job_id), "is paused; `v2t jobs resume` lets it go on")


@group.command()
@click.argument("job_id")
@returns_result
def resume(job_id: str) -> Result:
    """Let JOB_ID go on after a pause."""
    return _tell(job_id, lambda cluster: cluster.client.resume(job_id), "goes on")


@group.command()
@click.argument("job_id")
@click.argument("number", type=click.IntRange(1, 5))
@returns_result
def priority(job_id: str, number: int) -> Result:
    """Give the steps that JOB_ID has not begun yet the priority NUMBER, 1 to 5; 1 is the most urgent."""
    done = f"has priority {number} from here on"
    return _tell(job_id, lambda cluster: cluster.client.set_priority(job_id, number), done)


def _tell(job_id: str, action: Callable[[Cluster], Awaitable[None]], done: str) -> Result:
    """Tell something to a job that runs."""

    async def tell(cluster: Cluster) -> None:
        view, record = await _look_up(cluster, job_id)
        if view is None or view.state != JobState.RUNNING:
            state = view.state if view else record.state if record else JobState.FAILED
            raise UsageError(f"{job_id} is {state.value}; it does not run.")
        await action(cluster)

    _on_cluster(tell, work=True)
    return Result(data={"job_id": job_id}, lines=[f"{job_id} {done}"])


def _on_cluster(action: Callable[[Cluster], Awaitable[Value]], *, work: bool = False) -> Value:
    """Run `action` on the cluster; with `work`, the jobs go on meanwhile if this call has to run the cluster."""
    from v2t.config import load_settings
    from v2t.deployment import open_cluster

    settings = load_settings()

    async def run() -> Value:
        async with open_cluster(settings, work=work) as cluster:
            return await action(cluster)

    return asyncio.run(run())


async def _look_up(cluster: Cluster, job_id: str) -> tuple[JobView | None, JobRecord | None]:
    """What Temporal and the records know. Raises JobNotFound when neither knows the job."""
    record = await asyncio.to_thread(cluster.records.get, job_id)
    try:
        return await cluster.client.describe(job_id), record
    except JobNotFound:
        if record is None:
            raise
        return None, record


async def _cancel(cluster: Cluster, job_id: str) -> None:
    """Cancel a job and wait for its end. Raises UsageError when it has ended in another way."""
    view, record = await _look_up(cluster, job_id)
    if view and view.state == JobState.RUNNING:
        await cluster.client.cancel(job_id)
        with suppress(JobCancelled):
            await cluster.client.result(job_id)
        view = await cluster.client.describe(job_id)
    state = view.state if view else record.state if record else JobState.FAILED
    if state != JobState.CANCELLED:
        raise UsageError(f"{job_id} is {state.value}; there is nothing to cancel.")


def _shown(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return shown_time(value) if name.endswith("_at") else str(value)
