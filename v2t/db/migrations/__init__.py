"""How a database gets its tables: append-only Alembic migrations, named by number.

A migration must leave the tables usable by the release before it, since a cluster's workers are upgraded
one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0001"
"""The newest revision, kept here so that an up-to-date database opens without importing Alembic (0.5 s)."""


def upgrade(connection: Connection) -> None:
    """Bring the database to HEAD, inside the transaction that `connection` has open."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "v2t.db:migrations")
    command.upgrade(config, HEAD)
