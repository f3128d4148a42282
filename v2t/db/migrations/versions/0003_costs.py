"""What each try of a provider cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, and an index for sums over a span of time."""
    op.add_column("provider_attempts", sa.Column("dollars", sa.Double, nullable=False, server_default="0"))
    op.create_index("ix_provider_attempts_started_at", "provider_attempts", ["started_at"])
