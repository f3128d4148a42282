"""The tags of jobs, one after the other with spaces between them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; its default is what workers of the release before leave there."""
    op.add_column("transcriptions", sa.Column("tags", sa.Text, nullable=False, server_default=""))
