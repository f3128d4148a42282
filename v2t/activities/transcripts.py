"""Where a job's transcript stands."""

from __future__ import annotations

from v2t.domain.jobs import archive_key, transcript_key
from v2t.domain.ports import ObjectStore


def find_transcript(store: ObjectStore, job_id: str) -> str:
    """The key of a job's transcript, or of its archived one; empty where there is none."""
    return next((key for key in (transcript_key(job_id), archive_key(job_id)) if store.exists(key)), "")
