"""The tables as this version reads and writes them; `migrations/` brings a database there.

On PostgreSQL `transcriptions` is partitioned by month of `created_at`, so its primary key holds that column too;
a trigger keeps one row for each job (docs/decisions/0009-partitioned-records.md).
"""

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
    Column("batch_id", Text, nullable=False, server_default=""),
    Column("engine_seconds", Double, nullable=False, server_default="0"),
    Column("tags", Text, nullable=False, server_default=""),  # with spaces between them
    Index("ix_transcriptions_created_at", "created_at"),
    Index("ix_transcriptions_user_created_at", "user", "created_at"),
    Index("ix_transcriptions_state_created_at", "state", "created_at"),
    Index("ix_transcriptions_batch_id_created_at", "batch_id", "created_at"),
)
"""One row for each job: the columns are the fields of `v2t.domain.jobs.JobRecord`."""

PROVIDER_ATTEMPTS = Table(
    "provider_attempts",
    METADATA,
    Column("job_id", String(64), primary_key=True),
    Column("chunk_index", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("provider", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("started_at", Double, primary_key=True),  # Unix seconds; tells the runs of a job apart
    Column("seconds", Double, nullable=False),
    Column("audio_seconds", Double, nullable=False),
    Column("error_code", String(64), nullable=False),
    Column("error_message", Text, nullable=False),
    Column("dollars", Double, nullable=False, server_default="0"),
    Index("ix_provider_attempts_started_at", "started_at"),
)
"""One row for each try of a provider: the columns are the fields of `v2t.domain.jobs.ProviderAttempt`."""
