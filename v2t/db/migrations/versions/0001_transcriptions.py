"""The records of jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table of jobs and its indexes."""
    op.create_table(
        "transcriptions",
        sa.Column("job_id", sa.String(64), primary_key=True),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("audio_seconds", sa.Double, nullable=False),
        sa.Column("words", sa.Integer, nullable=False),
        sa.Column("transcript_key", sa.Text, nullable=False),
        sa.Column("error_code", sa.String(64), nullable=False),
        sa.Column("error_message", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double, nullable=False),
    )
    op.create_index("ix_transcriptions_created_at", "transcriptions", ["created_at"])
    op.create_index("ix_transcriptions_user_created_at", "transcriptions", ["user", "created_at"])
