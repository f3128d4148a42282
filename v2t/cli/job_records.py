"""Jobs as the commands show them: those that run, from Temporal, and those that ended, from the records."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from v2t.domain.errors import ConnectionFailed, JobNotFound
from v2t.domain.jobs import JobState
from v2t.domain.ports import JobFilter
from v2t.domain.records import JobRecord

if TYPE_CHECKING:
    from v2t.client import JobView
    from v2t.standalone import Cluster

_ANSWER_SECONDS = 3.0


async def collect_jobs(cluster: Cluster, wanted: JobFilter) -> list[JobRecord]:
    """The jobs that match, the newest first."""
    finished = await asyncio.to_thread(cluster.records.find, wanted)
    running: list[JobRecord] = []
    if wanted.state in {None, JobState.RUNNING}:
        views = [view for view in await cluster.client.list_jobs(limit=wanted.limit) if view.state == JobState.RUNNING]
        running = list(await asyncio.gather(*(running_record(cluster, view) for view in views)))
    known = {record.job_id for record in running}
    shown = [record for record in running if wanted.matches(record)]
    return [*shown, *(record for record in finished if record.job_id not in known)][: wanted.limit]


async def running_record(cluster: Cluster, view: JobView) -> JobRecord:
    """What a job was asked to do, told by a worker; where none answers, only that it runs."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            request = await cluster.client.request(view.job_id)
    except (TimeoutError, JobNotFound, ConnectionFailed):
        return JobRecord(view.job_id, "", "", "", 0, view.state, created_at=view.created_at)
    return JobRecord(
        job_id=view.job_id,
        user=request.user,
        name=request.audio.name,
        sha256=request.audio.sha256,
        size_bytes=request.audio.size_bytes,
        state=view.state,
        provider=request.options.provider,
        model=request.options.model,
        language=request.options.language,
        created_at=view.created_at,
        batch_id=request.batch_id,
        tags=request.tags,
    )


def shown_time(seconds: float) -> str:
    """A Unix time as people here read it; a dash where there is none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "-"


def shown_length(seconds: float) -> str:
    """Hours, minutes and seconds; a dash where there is none."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if seconds else "-"
