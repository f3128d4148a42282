"""The tables as this version reads and writes them; `migrations/` brings a database there."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

TRANSCRIPTIONS = Table(
    "transcriptions",
    METADATA,
    Column("job_id", String(64), primary_key=True),
    Column("user", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("language", String(16), nullable=False),
    Column("audio_seconds", Double, nullable=False),
    Column("words", Integer, nullable=False),
    Column("transcript_key", Text, nullable=False),
    Column("error_code", String(64), nullable=False),
    Column("error_message", Text, nullable=False),
    Column("created_at", Double, nullable=False),  # Unix seconds, as finished_at
    Column("finished_at", Double, nullable=False),
    Index("ix_transcriptions_created_at", "created_at"),
    Index("ix_transcriptions_user_created_at", "user", "created_at"),
)
"""One row for each job: the columns are the fields of `v2t.domain.jobs.JobRecord`."""
