from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, text

from v2t.db import connections
from v2t.db import records as records_module
from v2t.db.migrations import upgrade
from v2t.db.records import SqlJobRecords, open_records
from v2t.domain.errors import StorageError, StorageFull, StorageUnwritable
from v2t.domain.jobs import JobState
from v2t.domain.ports import JobFilter
from v2t.domain.records import JobRecord

RECORD = JobRecord("t-abc", "ada", "a.wav", "0" * 64, 1, JobState.RUNNING, created_at=1.0)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "records.db"


@pytest.fixture
def records(database: Path) -> Iterator[SqlJobRecords]:
    with closing(open_records(f"sqlite:///{database}")) as opened:
        yield opened


def test_records_outlive_the_process_that_wrote_them(records: SqlJobRecords, database: Path) -> None:
    records.save(RECORD)
    records.close()
    with closing(open_records(f"sqlite:///{database}")) as again:
        assert again.get("t-abc") == RECORD


def test_the_database_is_readable_by_its_owner_only(records: SqlJobRecords, database: Path) -> None:
    records.save(RECORD)
    assert database.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in database.parent.iterdir()} == {0o600}


def test_sqlite_writes_ahead_and_waits_for_other_writers(records: SqlJobRecords) -> None:
    with records._primary.engine.connect() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 10_000, "foreign_keys": 1}


def test_an_up_to_date_database_opens_without_alembic(records: SqlJobRecords, database: Path) -> None:
    script = (
        "import sys; from v2t.db.records import open_records; "
        f"open_records('sqlite:///{database}').close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode == 0


def _open(url: str, ready: multiprocessing.SimpleQueue[str], failures: multiprocessing.SimpleQueue[str]) -> None:
    try:
        ready.get()
        open_records(url).close()
    except Exception as error:  # noqa: BLE001 - the parent reports it
        failures.put(repr(error))


def test_processes_that_open_a_new_database_at_once_all_succeed(database: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["v2t.db.records"])
    ready: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    failures: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    openers = [context.Process(target=_open, args=(f"sqlite:///{database}", ready, failures)) for _ in range(3)]
    for opener in openers:
        opener.start()
    for _ in openers:
        ready.put("go")
    for opener in openers:
        opener.join(40)
    assert failures.empty(), failures.get()
    assert [opener.exitcode for opener in openers] == [0, 0, 0]


def test_a_file_that_is_no_database_is_named(database: Path) -> None:
    database.parent.mkdir()
    database.write_bytes(b"this was never a database " * 100)
    with pytest.raises(StorageError, match=r"records\.db is damaged; move it away"):
        open_records(f"sqlite:///{database}")


def test_a_database_damaged_inside_is_named(records: SqlJobRecords, database: Path) -> None:
    for number in range(200):
        records.save(replace(RECORD, job_id=f"t-{number}"))
    records.close()
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (database.stat().st_size - 4096))
    with (
        pytest.raises(StorageError, match=r"records\.db is damaged; move it away"),
        closing(open_records(f"sqlite:///{database}")) as opened,
    ):
        opened.find(JobFilter())


def test_a_database_cut_short_is_named(records: SqlJobRecords, database: Path) -> None:
    records.save(RECORD)
    records.close()
    with database.open("r+b") as file:
        file.truncate(5000)
    with (
        pytest.raises(StorageError, match=r"records\.db is damaged; move it away"),
        closing(open_records(f"sqlite:///{database}")) as opened,
    ):
        opened.get("t-abc")


def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(StorageUnwritable, match=r"/sys/v2t/records\.db cannot be made"):
        open_records("sqlite:////sys/v2t/records.db")


def test_a_folder_in_the_place_of_the_database_is_named(database: Path) -> None:
    database.mkdir(parents=True)
    with pytest.raises(StorageUnwritable, match=r"records\.db cannot be written"):
        open_records(f"sqlite:///{database}")


@pytest.mark.parametrize(
    ("pragma", "error", "advice"),
    [
        ("max_page_count=1", StorageFull, "free some"),
        ("query_only=ON", StorageUnwritable, "standalone.folder"),
    ],
)
def test_a_database_that_takes_no_more_says_why(
    records: SqlJobRecords, database: Path, pragma: str, error: type[StorageError], advice: str
) -> None:
    records.close()

    @event.listens_for(records._primary.engine, "connect")
    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA {pragma}")

    with pytest.raises(error, match=advice) as raised:
        records.save(replace(RECORD, name="a" * 100_000))
    assert str(database) in raised.value.message


def test_a_locked_database_is_a_failure_worth_a_retry(
    records: SqlJobRecords, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_ON_CONNECT", ("PRAGMA busy_timeout=1",))
    records.close()
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked by another program") as raised:
            records.save(RECORD)
    assert raised.value.retryable


def test_a_migration_that_fails_leaves_the_database_as_it_was(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_half_way(connection: object) -> None:
        upgrade(connection)  # type: ignore[arg-type]
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(records_module, "upgrade", fail_half_way)
        with pytest.raises(RuntimeError):
            open_records(f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    with closing(open_records(f"sqlite:///{database}")) as records:
        records.save(RECORD)


def test_a_database_of_a_newer_release_stays_usable(
    records: SqlJobRecords, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records.close()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num='9999'")
        connection.execute("ALTER TABLE transcriptions ADD COLUMN topic TEXT NOT NULL DEFAULT ''")
    with closing(open_records(f"sqlite:///{database}")) as opened:
        opened.save(RECORD)
        assert opened.get("t-abc") == RECORD
    assert "newer v2t" in caplog.text
