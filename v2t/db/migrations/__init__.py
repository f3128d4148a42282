"""How a database gets its tables: append-only Alembic migrations, named by number.

A cluster's workers are upgraded one after the other, so a migration runs while workers of the release before it
are up, and must leave every statement of theirs working. So a change comes in two releases:

1. Expand. Columns are added with a server default, tables and indexes are added, and the new release writes what both
   need. Nothing that the release before names in a statement goes away, is renamed, changes its type, or becomes more
   strict. That includes keys named in `ON CONFLICT`: on PostgreSQL `transcriptions` keeps its unique key
   (job_id, created_at) and its trigger `keep_one_row`, on SQLite its key job_id.
2. Contract. The release after it, when nobody uses the old shape any more, drops it.

On PostgreSQL a migration also keeps its locks short: an index on a large table is made on each partition first
(`CREATE INDEX CONCURRENTLY` outside the transaction), and rows are filled in by the workers, not by `UPDATE` of all.
`tests/unit/db/test_migrations.py` runs the statements of the release before against the new tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0004"
"""The newest revision, kept here so that an up-to-date database opens without importing Alembic (0.5 s)."""


def upgrade(connection: Connection, revision: str = HEAD) -> None:
    """Bring the database to a revision, inside the transaction that `connection` has open."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "v2t.db:migrations")
    command.upgrade(config, revision)
