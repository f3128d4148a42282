"""Records of jobs in an SQL database: SQLite on one machine, PostgreSQL on a cluster.

Every operation is one statement, so connections run in autocommit and only a change of tables opens a transaction.
Importing this module costs about 0.5 s, SQLAlchemy's own; import it where records are opened.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Executable, inspect
from sqlalchemy.exc import DBAPIError

from v2t.db import partitions, statements
from v2t.db.connections import Database, parse_url
from v2t.db.failures import TABLE_BUSY_OR_FOREIGN, sqlstate
from v2t.db.migrations import HEAD, upgrade
from v2t.domain.errors import DISK_FULL, StorageFull, StorageUnwritable, V2TError
from v2t.domain.ports import JobFilter
from v2t.domain.records import CallsLine, CostLine, JobRecord, ProviderAttempt

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

_MIGRATION_LOCK = 0x763274
"""PostgreSQL advisory lock: `v2t` in ASCII."""

_DELETED_AT_ONCE = 500
"""Jobs in one statement: SQLite takes at most 32766 parameters, and locks should stay short."""

_REPLICA_REST_SECONDS = 30.0
"""How long a replica that failed is not asked again."""

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600


class SqlJobRecords:
    """JobRecords in a database whose tables exist; `open_records` makes sure of that.

    A lost connection is made anew, and what was asked is asked again; all of it may be.

    Args:
        url: an SQLAlchemy URL, such as `sqlite:////var/lib/v2t/records.db`.
        replica_url: of a read replica that lists and searches go to; what it says may lag a little.
        months_ahead: how many monthly partitions are made ahead, on PostgreSQL.

    Raises:
        ConfigurationError: a URL is not valid or its driver is not installed.
    """

    def __init__(self, url: str, replica_url: str = "", months_ahead: int = 3) -> None:
        self._primary = Database(url)
        self._replica = Database(replica_url) if replica_url else None
        self._replica_rests_until = 0.0
        self._replica_was_missed = False
        self._months_ahead = months_ahead

    def close(self) -> None:
        """Close every connection."""
        self._primary.close()
        if self._replica is not None:
            self._replica.close()

    def save(self, record: JobRecord) -> None:
        """Insert or replace the record of `record.job_id`, unless a truer one stands there.

        A run is told from another run of the same job by `created_at`. A newer run replaces an older one and
        never the reverse; within a run a RUNNING record never replaces a finished one, so saves that arrive
        late or twice do no harm.

        Raises:
            StorageError: it could not be kept.
            RecordsUnreachable: the database does not answer.
        """
        self._write(statements.save_record(self._primary.dialect, record))

    def save_attempt(self, attempt: ProviderAttempt) -> None:
        """Keep one try of a provider; the same try saved twice is kept once, as it was said last.

        Raises:
            StorageError: it could not be kept.
            RecordsUnreachable: the database does not answer.
        """
        self._write(statements.save_attempt(self._primary.dialect, attempt))

    def attempts(self, job_id: str) -> Sequence[ProviderAttempt]:
        """The tries for a job, of all its runs, in the order they began. Raises StorageError."""
        query = statements.attempts_of(job_id)
        return self._read(
            lambda connection: [statements.to_attempt(row) for row in connection.execute(query).mappings()]
        )

    def costs(self, by: str, since: float = 0.0, until: float = math.inf) -> Sequence[CostLine]:
        """What successful tries came to, by provider, user or month (UTC), in that order. Raises StorageError."""
        query = statements.costs(self._primary.dialect, by, since, until)
        return self._read(lambda connection: [CostLine(**row) for row in connection.execute(query).mappings()])

    def calls(self, since: float) -> Sequence[CallsLine]:
        """How tries went that began at a Unix time or later, by provider; those it was left alone for do not count.

        Raises:
            StorageError: the database cannot be used.
        """
        query = statements.calls(since)
        return self._read(lambda connection: [CallsLine(**row) for row in connection.execute(query).mappings()])

    def get(self, job_id: str) -> JobRecord | None:
        """One record as it stands now, or None. Raises StorageError."""
        query = statements.record_of(job_id)
        row = self._primary.run(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else statements.to_record(row)

    def find(self, wanted: JobFilter) -> Sequence[JobRecord]:
        """Records that match, newest first, at most `wanted.limit`. Raises StorageError."""
        return self._records(statements.matching(wanted))

    def older_than(self, created_before: float, limit: int) -> Sequence[JobRecord]:
        """Finished jobs created before a Unix time, oldest first. Raises StorageError."""
        return self._records(statements.finished_before(created_before, limit))

    def delete(self, job_ids: Sequence[str]) -> None:
        """Forget jobs and their attempts; unknown ids are no error. Raises StorageError."""
        for first in range(0, len(job_ids), _DELETED_AT_ONCE):
            for statement in statements.forget(job_ids[first : first + _DELETED_AT_ONCE]):
                self._write(statement)

    def prepare(self) -> None:
        """Bring the tables to this version, and make the partitions of the next months; cheap when all is there.

        Raises:
            StorageError: the database cannot be used, and why.
            RecordsUnreachable: the database does not answer.
        """
        self._primary.run(_migrate)
        self.make_room(time.time())

    def make_room(self, now: float) -> None:
        """Make the partitions of the month of `now` and the months ahead; SQLite has none.

        When the table is busy or belongs to another account, they are left for the next call: rows without
        a partition are kept in the default one until then.

        Raises:
            StorageError: the database cannot be used, and why.
            RecordsUnreachable: the database does not answer.
        """
        if not self._primary.is_sqlite:
            months = partitions.months_from(now, self._months_ahead)
            self._primary.run(lambda connection: _make_partitions(connection, months))

    def _write(self, statement: Executable) -> None:
        def execute(connection: Connection) -> None:
            connection.execute(statement)

        self._primary.run(execute)

    def _records(self, query: Executable) -> Sequence[JobRecord]:
        return self._read(
            lambda connection: [statements.to_record(row) for row in connection.execute(query).mappings()]
        )

    def _read(self, operation: Callable[[Connection], _Answer]) -> _Answer:
        """Ask the replica, or the primary when there is none or it fails."""
        if self._replica is not None and time.monotonic() >= self._replica_rests_until:
            try:
                answer = self._replica.run(operation)
            except V2TError as error:
                self._replica_rests_until = time.monotonic() + _REPLICA_REST_SECONDS
                if not self._replica_was_missed:
                    self._replica_was_missed = True
                    _log.warning(
                        "the primary answers for the replica: %s", error.message, extra={"action": "read_replica"}
                    )
            else:
                self._replica_was_missed = False
                return answer
        return self._primary.run(operation)


def open_records(url: str, replica_url: str = "", months_ahead: int = 3) -> SqlJobRecords:
    """Open the records, making the database or bringing its tables to this version where needed.

    Args:
        url: an SQLAlchemy URL; a SQLite file is made, a PostgreSQL database must be there.
        replica_url: of a read replica, if there is one.
        months_ahead: how many monthly partitions are made ahead, on PostgreSQL.

    Raises:
        ConfigurationError: a URL is not valid, its driver is not installed, or there is no such database.
        CredentialsRefused: the server does not accept the account.
        RecordsUnreachable: the server does not answer.
        StorageFull: no space is left.
        StorageUnwritable: the database's folder or file is read-only.
        StorageError: the file is damaged, or the database cannot be used.
    """
    records = SqlJobRecords(url, replica_url, months_ahead)
    address = parse_url(url)
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


def _migrate(connection: Connection) -> None:
    if _revision(connection) == HEAD:
        return
    if connection.dialect.name == "sqlite":
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


def _revision(connection: Connection) -> str:
    """The revision the database says it has; empty for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() or "")


def _make_partitions(connection: Connection, months: list[partitions.Month]) -> None:
    if partitions.are_complete(connection, months):
        return
    connection.exec_driver_sql("BEGIN")
    try:
        made = partitions.make(connection, months)
    except DBAPIError as error:
        if sqlstate(error) not in TABLE_BUSY_OR_FOREIGN:
            raise
        connection.exec_driver_sql("ROLLBACK")
        _log.warning("partitions are left for later: %s", str(error.orig).strip(), extra={"action": "make_partitions"})
        return
    connection.exec_driver_sql("COMMIT")
    if made:
        _log.info("made %d partitions", len(made), extra={"action": "make_partitions", "first": made[0].table})
