from __future__ import annotations

import asyncio
from datetime import timedelta

from support.cluster import NAMESPACE
from temporalio.client import ScheduleOverlapPolicy

from v2t.client import Client
from v2t.client.schedules import RETENTION_SCHEDULE, SWEEP_SCHEDULE, ensure_schedules
from v2t.domain.jobs import TranscribeOptions
from v2t.domain.retention import RetentionPolicy


async def ensure(client: Client, sweep_minutes: float = 5.0, at_hour: int = 3) -> None:
    await ensure_schedules(
        client,
        sweep_minutes=sweep_minutes,
        options=TranscribeOptions(),
        retention=RetentionPolicy(audio_days=7),
        at_hour=at_hour,
    )


async def test_schedules_are_made_once_and_follow_the_settings(server: str) -> None:
    client = await Client.connect(server, NAMESPACE)
    sweep = client.temporal.get_schedule_handle(SWEEP_SCHEDULE)
    retention = client.temporal.get_schedule_handle(RETENTION_SCHEDULE)
    try:
        await asyncio.gather(*(ensure(client) for _ in range(3)))  # as several workers do
        await sweep.pause(note="by an operator")
        await ensure(client, sweep_minutes=1.5, at_hour=22)
        found = (await sweep.describe()).schedule
        assert [interval.every for interval in found.spec.intervals] == [timedelta(minutes=1.5)]
        assert found.policy.overlap == ScheduleOverlapPolicy.SKIP
        assert found.state.paused
        (calendar,) = (await retention.describe()).schedule.spec.calendars
        assert [hours.start for hours in calendar.hour] == [22]
        assert [minutes.start for minutes in calendar.minute] == [0]
    finally:
        await sweep.delete()
        await retention.delete()
