from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from v2t.db.failures import name_failure
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

URL = make_url("postgresql+psycopg://v2t:hush@db/v2t")


class DriverError(Exception):
    def __init__(self, words: str, sqlstate: str | None = None) -> None:
        super().__init__(words)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "error", "advice"),
    [
        ("28P01", CredentialsRefused, "check database.url"),
        ("3D000", ConfigurationError, "createdb --owner v2t v2t"),
        ("53100", StorageFull, "free some"),
        ("42501", StorageUnwritable, "make it the owner"),
        ("25006", StorageUnwritable, "name the primary"),
        ("57P01", RecordsUnreachable, "v2t health"),
        ("57P03", RecordsUnreachable, "v2t health"),
        ("53300", RecordsUnreachable, "v2t health"),
        ("08006", RecordsUnreachable, "v2t health"),
        ("XX001", StorageDamaged, "restore it"),
        ("40001", StorageError, "cannot be used: the server said so"),
    ],
)
def test_what_postgresql_says_becomes_an_error_with_a_next_step(
    sqlstate: str, error: type[V2TError], advice: str
) -> None:
    said = OperationalError("INSERT", {}, DriverError("the server said so\nand more", sqlstate))
    failure = name_failure(said, URL)
    assert type(failure) is error
    assert advice in failure.message
    assert "db:5432/v2t" in failure.message
    assert "\n" not in failure.message
    assert "hush" not in failure.message


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ('FATAL:  password authentication failed for user "v2t"', CredentialsRefused),
        ("fe_sendauth: no password supplied", CredentialsRefused),
        ('FATAL:  role "v2t" does not exist', CredentialsRefused),
        ('FATAL:  no pg_hba.conf entry for host "::1"', CredentialsRefused),
        ('FATAL:  database "v2t" does not exist', ConfigurationError),
        ("Connection refused", RecordsUnreachable),
        ("failed to resolve host 'db'", RecordsUnreachable),
        ("connection timeout expired", RecordsUnreachable),
    ],
)
def test_a_connection_that_fails_is_known_by_libpqs_words(words: str, error: type[V2TError]) -> None:
    failure = name_failure(OperationalError("", {}, DriverError(f"connection failed: {words}")), URL)
    assert type(failure) is error
    assert "hush" not in failure.message


def test_only_a_failure_that_can_pass_is_worth_a_retry() -> None:
    def named(sqlstate: str) -> V2TError:
        return name_failure(OperationalError("", {}, DriverError("no", sqlstate)), URL)

    assert named("57P01").retryable
    assert named("40001").retryable
    assert not any(named(code).retryable for code in ("28P01", "3D000", "53100", "25006", "XX001"))
