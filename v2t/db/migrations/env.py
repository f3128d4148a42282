"""Run by Alembic, on the connection that `v2t.db.migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from v2t.db.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
