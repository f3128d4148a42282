"""Records of jobs in an SQL database: SQLite on one machine, PostgreSQL on a cluster.

Every operation is one statement, so connections run in autocommit and only a migration opens a transaction.
Importing this module costs about 0.5 s, SQLAlchemy's own; import it where records are opened.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Connection, Engine, Insert, RowMapping, and_, create_engine, event, inspect, or_, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from v2t.db.migrations import HEAD, upgrade
from v2t.db.schema import TRANSCRIPTIONS
from v2t.domain.errors import (
    DISK_FULL,
    ConfigurationError,
    StorageDamaged,
    StorageError,
    StorageFull,
    StorageUnwritable,
)
from v2t.domain.jobs import JobRecord, JobState

_log = logging.getLogger(__name__)

_BUSY_TIMEOUT_MILLISECONDS = 10_000

_ON_CONNECT = (
    f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MILLISECONDS}",
    "PRAGMA journal_mode=WAL",  # readers and one writer at a time do not wait for each other
    "PRAGMA synchronous=NORMAL",  # in WAL a power cut may lose the last commits, never the database
    "PRAGMA foreign_keys=ON",
)

_MIGRATION_LOCK = 0x763274
"""PostgreSQL advisory lock: `v2t` in ASCII."""

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600


class SqlJobRecords:
    """JobRecords in a database whose tables exist; `open_records` makes sure of that.

    Args:
        url: an SQLAlchemy URL, such as `sqlite:////var/lib/v2t/records.db`.

    Raises:
        ConfigurationError: the URL is not valid or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = create_engine(url, isolation_level="AUTOCOMMIT")
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigurationError("the database URL is not valid or its driver is not installed") from error
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _configure_sqlite)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def save(self, record: JobRecord) -> None:
        """Insert or replace the record of `record.job_id`, unless a truer one stands there.

        A run is told from another run of the same job by `created_at`. A newer run replaces an older one and
        never the reverse; within a run a RUNNING record never replaces a finished one, so saves that arrive
        late or twice do no harm.

        Raises:
            StorageError: it could not be kept.
        """
        with self._connected() as connection:
            connection.execute(_upsert(self._engine.dialect.name, record))

    def get(self, job_id: str) -> JobRecord | None:
        """One record, or None. Raises StorageError."""
        with self._connected() as connection:
            row = connection.execute(select(TRANSCRIPTIONS).where(TRANSCRIPTIONS.c.job_id == job_id)).mappings().first()
        return None if row is None else _record(row)

    def find(
        self, *, user: str = "", state: JobState | None = None, text: str = "", limit: int = 50
    ) -> Sequence[JobRecord]:
        """Records, newest first; `text` matches part of the file name or job id, whatever the case.

        Raises:
            StorageError: the database cannot be read.
        """
        jobs = TRANSCRIPTIONS.c
        query = select(TRANSCRIPTIONS).order_by(jobs.created_at.desc(), jobs.job_id).limit(limit)
        if user:
            query = query.where(jobs.user == user)
        if state is not None:
            query = query.where(jobs.state == state)
        if text:
            part = _storable(text)
            query = query.where(
                or_(jobs.name.icontains(part, autoescape=True), jobs.job_id.icontains(part, autoescape=True))
            )
        with self._connected() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def prepare(self) -> None:
        """Bring the tables to this version; cheap when they are.

        Raises:
            StorageError: the database cannot be used, and why.
        """
        with self._connected() as connection:
            if _revision(connection) == HEAD:
                return
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("BEGIN")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            revision = _revision(connection)
            if revision < HEAD:  # another process may have upgraded it while this one waited
                upgrade(connection)
            elif revision > HEAD:
                _log.warning("the database is of a newer v2t", extra={"action": "open_records", "revision": revision})
            connection.exec_driver_sql("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise _named(error, self._engine) from error


def open_records(url: str) -> SqlJobRecords:
    """Open the records, making the database or bringing its tables to this version where needed.

    Raises:
        ConfigurationError: the URL is not valid or its driver is not installed.
        StorageFull: no space is left.
        StorageUnwritable: the database's folder or file is read-only.
        StorageError: the file is damaged, or the database does not answer.
    """
    records = SqlJobRecords(url)
    address = make_url(url)
    if address.get_backend_name() == "sqlite" and address.database:
        _make_private(Path(address.database))
    try:
        records.prepare()
    except BaseException:
        records.close()
        raise
    return records


def _make_private(file: Path) -> None:
    """Make the database file, which holds the names of recordings, readable by its owner only."""
    try:
        file.parent.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
        if not file.exists():
            file.touch(_PRIVATE_FILE)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageFull(f"no space is left for {file}; free some and run the command again") from error
        raise StorageUnwritable(
            f"{file} cannot be made: {error.strerror}; make its folder writable or set standalone.folder to another"
        ) from error


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    for statement in _ON_CONNECT:
        connection.execute(statement)


def _revision(connection: Connection) -> str:
    """The revision the database says it has; empty for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() or "")


def _upsert(dialect: str, record: JobRecord) -> Insert:
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]

    fields = {name: _storable(value) if isinstance(value, str) else value for name, value in asdict(record).items()}
    statement = insert(TRANSCRIPTIONS).values(fields)
    old, new = TRANSCRIPTIONS.c, statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[old.job_id],
        set_={name: new[name] for name in fields if name != "job_id"},
        where=or_(
            new.created_at > old.created_at,
            and_(
                new.created_at == old.created_at,
                or_(old.state == JobState.RUNNING, new.state != JobState.RUNNING),
            ),
        ),
    )


def _storable(text: str) -> str:
    """Text that both databases keep: undecodable bytes of a file name and NUL become question marks."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _record(row: RowMapping) -> JobRecord:
    return JobRecord(**{**row, "state": JobState(row["state"])})


def _named(error: DBAPIError, engine: Engine) -> StorageError:
    place = engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string(hide_password=True)
    primary_code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    match primary_code:
        case sqlite3.SQLITE_FULL:
            return StorageFull(f"no space is left for {place}; free some and run the command again")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StorageUnwritable(
                f"{place} cannot be written; make it and its folder writable or set standalone.folder to another"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StorageDamaged(
                f"{place} is damaged; move it away to start a new history, then run the command again"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageError(f"{place} is locked by another program; run the command again")
        case _:
            return StorageError(f"the database {place} cannot be used: {str(error.orig).splitlines()[0]}")
