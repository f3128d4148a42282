"""Connections to a database: pooled, replaced when they die, and with errors that name the next step."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from v2t.db.failures import name_failure
from v2t.domain.errors import ConfigurationError, RecordsUnreachable

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

_BUSY_TIMEOUT_MILLISECONDS = 10_000

_ON_CONNECT = (
    f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MILLISECONDS}",
    "PRAGMA journal_mode=WAL",  # readers and one writer at a time do not wait for each other
    "PRAGMA synchronous=NORMAL",  # in WAL a power cut may lose the last commits, never the database
    "PRAGMA foreign_keys=ON",
)

_CONNECT_ARGUMENTS = {
    "connect_timeout": "5",  # seconds
    "application_name": "v2t",
    # A server that vanished without a word is noticed in about fifteen seconds.
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",  # milliseconds
}
"""libpq's, unless the URL says otherwise."""

_POOL = {"pool_size": 5, "max_overflow": 5, "pool_timeout": 20}

_RECONNECT_PAUSES_SECONDS = (0.0, 0.5, 1.5, 3.0)
"""Waits before a lost connection is made anew: as long as a restart of the server commonly takes."""

_CLOSING_SECONDS = 5.0
"""How long an operation is waited for whose connection would otherwise be dropped in the middle of it."""


class Database:
    """A database that operations are run in, each on a connection in autocommit.

    Args:
        url: an SQLAlchemy URL; `postgresql://` means the driver psycopg.

    Raises:
        ConfigurationError: the URL is not valid or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        try:
            self.engine = create_engine(self.url, isolation_level="AUTOCOMMIT", **_options(self.url))
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise _invalid() from error
        self._changed = threading.Condition()
        self._operations = 0
        if self.is_sqlite:
            event.listen(self.engine, "connect", _configure_sqlite)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine."""
        return self.dialect == "sqlite"

    def close(self) -> None:
        """Close every connection, when the operations that run have ended, or some seconds later."""
        with self._changed:
            self._changed.wait_for(lambda: not self._operations, _CLOSING_SECONDS)
        self.engine.dispose()

    def run(self, operation: Callable[[Connection], _Answer]) -> _Answer:
        """Run an operation that does no harm when run twice, again on a new connection when the first one dies.

        Raises:
            RecordsUnreachable: the server does not answer.
            CredentialsRefused, ConfigurationError: it does not let us in.
            StorageError: what is asked cannot be done, and why.
        """
        pauses = iter(_RECONNECT_PAUSES_SECONDS)
        lost = False
        while True:
            try:
                with self._connection() as connection:
                    return operation(connection)
            except DBAPIError as error:
                failure = name_failure(error, self.url)
                lost = lost or error.connection_invalidated
                pause = next(pauses, None)
                if pause is None or not (lost and isinstance(failure, RecordsUnreachable)):
                    raise failure from error
                _log.warning("the database is connected to again", extra={"action": "reconnect", "pause": pause})
                time.sleep(pause)
            except PoolTimeout as error:
                raise RecordsUnreachable("all connections to the database are busy; try again") from error

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._changed:
            self._operations += 1
        try:
            with self.engine.connect() as connection:
                yield connection
        finally:
            with self._changed:
                self._operations -= 1
                self._changed.notify_all()


def parse_url(url: str) -> URL:
    """The URL with its driver named. Raises ConfigurationError."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise _invalid() from error
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite" and "@" in f"{parsed.host}{parsed.database}":
        # a part of the password stands where the host should, and would be shown as such
        raise ConfigurationError("the database URL is not valid: write special characters of its password as %XX")
    return parsed


def _invalid() -> ConfigurationError:
    return ConfigurationError("the database URL is not valid or its driver is not installed; check database.url")


def _options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() != "postgresql":
        return {}
    arguments = {name: value for name, value in _CONNECT_ARGUMENTS.items() if name not in url.query}
    return {**_POOL, "connect_args": arguments}


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    for statement in _ON_CONNECT:
        connection.execute(statement)
