"""Batches and engine time of jobs, tries of providers, and monthly partitions on PostgreSQL.

On SQLite the statements of release 0001 go on working: the new columns have defaults, the key is what it was.
On PostgreSQL the key of a partitioned table must hold `created_at`, which `ON CONFLICT (job_id)` of 0001 does not;
no release of 0001 was able to use PostgreSQL from its settings, so there is no such worker to be kept going.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEEP_ONE_ROW = """
CREATE FUNCTION transcriptions_keep_one_row() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    other double precision;
BEGIN
    -- Savers of one job wait for each other; what follows then sees all that they have done.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.job_id, 7762548));
    FOR other IN
        SELECT created_at FROM transcriptions WHERE job_id = NEW.job_id AND created_at <> NEW.created_at
    LOOP
        IF other > NEW.created_at THEN
            RETURN NULL;
        END IF;
        DELETE FROM transcriptions WHERE job_id = NEW.job_id AND created_at = other;
    END LOOP;
    RETURN NEW;
END
$body$
"""

_ON_INSERT = """
CREATE TRIGGER keep_one_row BEFORE INSERT ON transcriptions
FOR EACH ROW EXECUTE FUNCTION transcriptions_keep_one_row()
"""


def upgrade() -> None:
    """Add columns, indexes and the table of tries; on PostgreSQL move the rows into a partitioned table."""
    op.add_column("transcriptions", sa.Column("batch_id", sa.Text, nullable=False, server_default=""))
    op.add_column("transcriptions", sa.Column("engine_seconds", sa.Double, nullable=False, server_default="0"))
    if op.get_context().dialect.name == "postgresql":
        _partition()
    op.create_index("ix_transcriptions_state_created_at", "transcriptions", ["state", "created_at"])
    op.create_index("ix_transcriptions_batch_id_created_at", "transcriptions", ["batch_id", "created_at"])
    op.create_table(
        "provider_attempts",
        sa.Column("job_id", sa.String(64), primary_key=True),
        sa.Column("chunk_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("started_at", sa.Double, primary_key=True),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("audio_seconds", sa.Double, nullable=False),
        sa.Column("error_code", sa.String(64), nullable=False),
        sa.Column("error_message", sa.Text, nullable=False),
    )


def _partition() -> None:
    """Everything lands in the default partition; `v2t.db.partitions` makes the months and moves the rows there."""
    for statement in (
        "ALTER TABLE transcriptions RENAME TO transcriptions_plain",
        "CREATE TABLE transcriptions (LIKE transcriptions_plain INCLUDING DEFAULTS) PARTITION BY RANGE (created_at)",
        "CREATE TABLE transcriptions_default PARTITION OF transcriptions DEFAULT",
        "INSERT INTO transcriptions SELECT * FROM transcriptions_plain",
        "DROP TABLE transcriptions_plain",
        "ALTER TABLE transcriptions ADD CONSTRAINT transcriptions_pkey PRIMARY KEY (job_id, created_at)",
        _KEEP_ONE_ROW,
        _ON_INSERT,
    ):
        op.execute(statement)
    op.create_index("ix_transcriptions_created_at", "transcriptions", ["created_at"])
    op.create_index("ix_transcriptions_user_created_at", "transcriptions", ["user", "created_at"])
