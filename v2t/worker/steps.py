"""What a worker does on the bookkeeping queue beside the steps of one file: batches, uploads, retention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from v2t.client import Client
    from v2t.domain.ports import JobRecords, ObjectStore


@dataclass(frozen=True, slots=True)
class Steps:
    """Workflows and activities beside TranscribeFile and its own."""

    workflows: Sequence[type] = ()
    activities: Sequence[Callable[..., Any]] = ()


def gather_steps(client: Client, store: ObjectStore, records: JobRecords, scratch: Path) -> Steps:
    """All that there are.

    Args:
        client: tells of running jobs.
        store: where uploads, groups and transcripts are.
        records: the history of jobs.
        scratch: folder for files on their way into the store.
    """
    from v2t.activities.batches import BatchActivities
    from v2t.activities.queues import QueueActivities
    from v2t.activities.retention import RetentionActivities
    from v2t.activities.uploads import UploadActivities
    from v2t.client.queues import is_polled
    from v2t.client.running import TemporalJobs
    from v2t.workflows.catalogue import WORKFLOWS
    from v2t.workflows.transcribe_file import TranscribeFile

    jobs = TemporalJobs(client)
    activities = [
        *BatchActivities(store, records, jobs, scratch).steps,
        *UploadActivities(store, jobs).steps,
        *RetentionActivities(store, records, jobs).steps,
        QueueActivities(partial(is_polled, client.temporal)).is_served,
    ]
    return Steps(tuple(workflow for workflow in WORKFLOWS if workflow is not TranscribeFile), tuple(activities))
