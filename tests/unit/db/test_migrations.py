from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from v2t.db.migrations import HEAD, upgrade
from v2t.db.records import SqlJobRecords, open_records
from v2t.db.schema import METADATA, PROVIDER_ATTEMPTS, TRANSCRIPTIONS
from v2t.domain.jobs import JobState
from v2t.domain.ports import JobFilter
from v2t.domain.records import JobRecord, ProviderAttempt

COLUMNS_OF_0001 = (
    "job_id, user, name, sha256, size_bytes, state, provider, model, language, audio_seconds, words, transcript_key, "
    "error_code, error_message, created_at, finished_at"
)
SAVE_OF_0001 = f"""
    INSERT INTO transcriptions ({COLUMNS_OF_0001})
    VALUES (:job_id, :user, :name, :sha256, :size_bytes, :state, :provider, :model, :language, :audio_seconds, :words,
        :transcript_key, :error_code, :error_message, :created_at, :finished_at)
    ON CONFLICT (job_id) DO UPDATE SET user = excluded.user, name = excluded.name, sha256 = excluded.sha256,
        size_bytes = excluded.size_bytes, state = excluded.state, provider = excluded.provider,
        model = excluded.model, language = excluded.language, audio_seconds = excluded.audio_seconds,
        words = excluded.words, transcript_key = excluded.transcript_key, error_code = excluded.error_code,
        error_message = excluded.error_message, created_at = excluded.created_at, finished_at = excluded.finished_at
    WHERE excluded.created_at > transcriptions.created_at OR excluded.created_at = transcriptions.created_at
        AND (transcriptions.state = 'running' OR excluded.state != 'running')
"""  # noqa: S608
FIND_OF_0001 = f"""
    SELECT {COLUMNS_OF_0001} FROM transcriptions WHERE user = 'ada' AND state = 'completed'
    AND (lower(name) LIKE '%' || lower('A.W') || '%' ESCAPE '/') ORDER BY created_at DESC, job_id LIMIT 50
"""  # noqa: S608
ROW_OF_0001 = {
    "job_id": "t-abc",
    "user": "ada",
    "name": "a.wav",
    "sha256": "0" * 64,
    "size_bytes": 1,
    "state": "running",
    "provider": "whisper_cpp",
    "model": "base",
    "language": "en",
    "audio_seconds": 2.5,
    "words": 3,
    "transcript_key": "t-abc/transcript.json",
    "error_code": "",
    "error_message": "",
    "created_at": 1.5,
    "finished_at": 2.5,
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def records(database: Path) -> Iterator[SqlJobRecords]:
    with closing(open_records(f"sqlite:///{database}")) as opened:
        yield opened


def migrate(database: Path, revision: str) -> None:
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        upgrade(connection, revision)
    engine.dispose()


def test_the_head_constant_is_the_head_of_the_scripts() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "v2t.db:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    assert all(len(script.revision) == len(HEAD) for script in scripts.walk_revisions()), "revisions compare as text"


def test_the_migrations_make_the_tables_of_the_schema(records: SqlJobRecords) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with records._primary.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_the_columns_are_the_fields_of_the_facts() -> None:
    assert [column.name for column in TRANSCRIPTIONS.columns] == list(JobRecord.__dataclass_fields__)
    assert [column.name for column in PROVIDER_ATTEMPTS.columns] == list(ProviderAttempt.__dataclass_fields__)


def test_a_database_of_0001_keeps_its_rows(database: Path) -> None:
    migrate(database, "0001")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(SAVE_OF_0001, ROW_OF_0001)
    with closing(open_records(f"sqlite:///{database}")) as records:
        assert records.get("t-abc") == JobRecord(**{**ROW_OF_0001, "state": JobState.RUNNING})  # type: ignore[arg-type]


def test_workers_of_0001_go_on_beside_this_release(records: SqlJobRecords, database: Path) -> None:
    record = JobRecord(**{**ROW_OF_0001, "state": JobState.RUNNING, "batch_id": "b-1"})  # type: ignore[arg-type]
    records.save(record)
    with closing(sqlite3.connect(database)) as old, old:
        old.execute(SAVE_OF_0001, {**ROW_OF_0001, "state": "completed", "words": 7})
        old.execute(SAVE_OF_0001, ROW_OF_0001)  # late, and without effect
        old.execute(SAVE_OF_0001, {**ROW_OF_0001, "job_id": "t-new"})
        assert [row[0] for row in old.execute(FIND_OF_0001)] == ["t-abc"]
    merged = records.get("t-abc")
    assert merged is not None
    assert (merged.state, merged.words, merged.batch_id) == (JobState.COMPLETED, 7, "b-1")
    assert {found.job_id for found in records.find(JobFilter())} == {"t-abc", "t-new"}


def test_a_worker_of_0001_that_looks_at_the_revision_sees_a_newer_one(records: SqlJobRecords, database: Path) -> None:
    with closing(sqlite3.connect(database)) as old:
        revision = old.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    assert revision > "0001", "it then leaves the tables alone"
