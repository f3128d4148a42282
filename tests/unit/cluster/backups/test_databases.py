"""What PostgreSQL's programs say, as errors that name the next step."""

from __future__ import annotations

import pytest

from v2t.cluster.backups.databases import DATABASES, named
from v2t.domain.errors import CredentialsRefused, RecordsUnreachable, StorageError


def test_temporal_is_looked_at_before_the_records() -> None:
    assert DATABASES.index("temporal") < DATABASES.index("v2t")


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        ('pg_dump: error: connection to server at "m2": FATAL:  password authentication failed', CredentialsRefused, 3),
        ('connection to server at "m2" (10.0.0.2), port 5432 failed: Connection refused', RecordsUnreachable, 5),
        ('psql:<stdin>:9: ERROR:  relation "a" already exists', StorageError, 1),
        ("", StorageError, 1),
    ],
)
def test_a_failure_of_postgresql_has_a_name(words: str, kind: type, code: int) -> None:
    error = named(words)
    assert type(error) is kind
    assert error.exit_code == code


def test_of_many_words_the_one_that_says_why_is_passed_on() -> None:
    said = named("\npg_dump: last built-in OID is 16383\npg_dump: error: query failed: ERROR:  out of memory\nQuery: x")
    assert said.message == "PostgreSQL: pg_dump: error: query failed: ERROR: out of memory"
