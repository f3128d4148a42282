from __future__ import annotations

import pytest
from sqlalchemy.dialects import postgresql

from v2t.db import statements
from v2t.domain.jobs import JobState
from v2t.domain.records import JobRecord

RECORD = JobRecord("t-abc", "ada", "a.wav", "0" * 64, 1, JobState.RUNNING, created_at=1.0)


def postgresql_text(statement: object) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=dialect))  # type: ignore[attr-defined]


def test_postgresql_keeps_the_truer_row_of_a_run_in_one_statement() -> None:
    text = postgresql_text(statements.save_record("postgresql", RECORD))
    assert "ON CONFLICT (job_id, created_at) DO UPDATE SET" in text
    assert "created_at = excluded.created_at," not in text.partition("WHERE")[0], "a row cannot change its partition"
    assert "WHERE excluded.created_at = transcriptions.created_at" in text


def test_jobs_are_forgotten_after_their_attempts() -> None:
    first, second = map(postgresql_text, statements.forget(["t-abc"]))
    assert first.startswith("DELETE FROM provider_attempts WHERE")
    assert second.startswith("DELETE FROM transcriptions WHERE")


@pytest.mark.parametrize(("text", "kept"), [("plain", "plain"), ("a\udcffb", "a?b"), ("a\0b", "a?b"), ("🎙", "🎙")])
def test_text_that_a_database_cannot_keep_is_replaced(text: str, kept: str) -> None:
    assert statements.storable(text) == kept
