"""What the cluster does by itself at certain times: look for uploads, apply the retention policy."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from v2t.client.connection import as_v2t_error
from v2t.client.jobs import Client
from v2t.domain.jobs import TranscribeOptions
from v2t.domain.retention import RetentionPolicy
from v2t.domain.uploads import SweepRequest
from v2t.workflows.apply_retention import ApplyRetention
from v2t.workflows.policies import QUEUE
from v2t.workflows.sweep_uploads import SweepUploads

SWEEP_SCHEDULE = "v2t-sweep-uploads"
RETENTION_SCHEDULE = "v2t-retention"

_MISSED = timedelta(minutes=10)
"""A cluster that was down for a week need not catch up on what it missed: the next time does the same."""


async def ensure_schedules(
    client: Client,
    *,
    sweep_minutes: float,
    options: TranscribeOptions,
    retention: RetentionPolicy,
    at_hour: int,
    tags: tuple[str, ...] = (),
) -> None:
    """Make the cluster's schedules, or bring them up to the settings; one that an operator paused stays paused.

    Args:
        client: the cluster.
        sweep_minutes: how often uploads are looked for.
        options: for the uploads that are found.
        retention: what to delete and archive, and when.
        at_hour: the hour of the day, UTC, at which that is done.
        tags: of the uploads that are found.
    """
    interval = ScheduleIntervalSpec(every=timedelta(minutes=sweep_minutes))
    request = SweepRequest(options, tags=tags)
    sweep = ScheduleActionStartWorkflow(SweepUploads.run, request, id=SWEEP_SCHEDULE, task_queue=QUEUE)
    await _ensure(client, SWEEP_SCHEDULE, sweep, ScheduleSpec(intervals=[interval]))
    daily = ScheduleCalendarSpec(hour=[ScheduleRange(at_hour)])
    apply = ScheduleActionStartWorkflow(ApplyRetention.run, retention, id=RETENTION_SCHEDULE, task_queue=QUEUE)
    await _ensure(client, RETENTION_SCHEDULE, apply, ScheduleSpec(calendars=[daily]))


async def _ensure(client: Client, name: str, action: ScheduleActionStartWorkflow, spec: ScheduleSpec) -> None:
    policy = SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=_MISSED)
    schedule = Schedule(action=action, spec=spec, policy=policy)

    def bring_up_to_date(there: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule.state = there.description.schedule.state
        return ScheduleUpdate(schedule)

    try:
        await client.temporal.create_schedule(name, schedule)
    except ScheduleAlreadyRunningError:
        await client.temporal.get_schedule_handle(name).update(bring_up_to_date)
    except RPCError as error:
        raise as_v2t_error(error) from error
