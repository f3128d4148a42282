"""Retention: how long a cluster keeps what it made."""

from __future__ import annotations

from dataclasses import dataclass

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Ages in days; 0 keeps for ever."""

    audio_days: int = 0  # until a recording is deleted
    archive_days: int = 0  # until a transcript moves to the archive, compressed
    delete_days: int = 0  # until a transcript and its record are deleted


@dataclass(frozen=True, slots=True)
class CutOff:
    """Apply a step to what is older than a time."""

    before: float  # Unix time


@dataclass(frozen=True, slots=True)
class RetentionCounts:
    """What one application of the policy did."""

    recordings_deleted: int = 0
    transcripts_archived: int = 0
    jobs_deleted: int = 0
