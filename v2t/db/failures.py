"""From what a database driver says to an error that names the next step."""

from __future__ import annotations

import sqlite3

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from v2t.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    RecordsUnreachable,
    StorageDamaged,
    StorageError,
    StorageFull,
    StorageUnwritable,
    V2TError,
)

_INSUFFICIENT_PRIVILEGE = "42501"
_LOCK_NOT_AVAILABLE = "55P03"
_CHECK_VIOLATION = "23514"  # a stray row came in between while a partition was made
TABLE_BUSY_OR_FOREIGN = frozenset({_INSUFFICIENT_PRIVILEGE, _LOCK_NOT_AVAILABLE, _CHECK_VIOLATION})
"""SQLSTATEs with which changing a table may be put off; https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_NO_SUCH_DATABASE = "3D000"
_NOT_SERVING = frozenset({"57P01", "57P02", "57P03", "57P05", "53300"})
"""Shutting down, crashed, starting up, session ended, too many connections."""

_BY_CODE: dict[str, tuple[type[V2TError], str]] = {
    "53100": (StorageFull, "has no space left on its disk; free some and run the command again"),
    "25006": (StorageUnwritable, "is read-only; let database.url name the primary"),
    _INSUFFICIENT_PRIVILEGE: (StorageUnwritable, "forbids this to the account; make it the owner of the tables"),
    "XX001": (StorageDamaged, "is damaged; restore it from a backup"),
    "XX002": (StorageDamaged, "has a damaged index; run REINDEX in it"),
}

_REFUSED_WORDS = ("authentication failed", "no password supplied", "no pg_hba.conf entry", "is not permitted to log in")
"""libpq gives no SQLSTATE for a connection that was refused, so its words must do."""


def name_failure(error: DBAPIError, url: URL) -> V2TError:
    """The domain error for what a driver raised; the URL's password is never in it."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_failure(error, str(url.database))
    return _postgresql_failure(error, url)


def sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's code of the error; empty when the server never answered."""
    return str(getattr(error.orig, "sqlstate", "") or "")


def _sqlite_failure(error: DBAPIError, place: str) -> StorageError:
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
            return StorageError(f"the database {place} cannot be used: {_first_line(error)}")


def _postgresql_failure(error: DBAPIError, url: URL) -> V2TError:
    place = f"{url.host or 'localhost'}:{url.port or 5432}/{url.database}"
    code = sqlstate(error)
    if not code:
        return _connection_failure(error, url, place)
    if code.startswith("28"):
        return _credentials_refused(url, place)
    if code == _NO_SUCH_DATABASE:
        return _database_missing(url, place)
    if code.startswith("08") or code in _NOT_SERVING:
        return _unreachable(place, _first_line(error))
    kind, advice = _BY_CODE.get(code, (StorageError, "cannot be used"))
    return kind(f"the database {place} {advice}: {_first_line(error)}")


def _connection_failure(error: DBAPIError, url: URL, place: str) -> V2TError:
    words = str(error.orig)
    if any(refused in words for refused in _REFUSED_WORDS) or ('role "' in words and "does not exist" in words):
        return _credentials_refused(url, place)
    if 'database "' in words and "does not exist" in words:
        return _database_missing(url, place)
    return _unreachable(place, _first_line(error))


def _credentials_refused(url: URL, place: str) -> CredentialsRefused:
    return CredentialsRefused(
        f"the database {place} does not accept the account {url.username} or its password; check database.url"
    )


def _database_missing(url: URL, place: str) -> ConfigurationError:
    return ConfigurationError(
        f"there is no database {place}; make it with `createdb --owner {url.username} {url.database}`, "
        "or correct database.url"
    )


def _unreachable(place: str, why: str) -> RecordsUnreachable:
    return RecordsUnreachable(f"the database {place} does not answer: {why}; `v2t health` shows what does")


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).splitlines()
    return lines[0] if lines else type(error.orig).__name__
