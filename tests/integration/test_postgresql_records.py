"""Job records on a real PostgreSQL server: many savers, months, restarts, migrations, replicas."""

from __future__ import annotations

import logging
import multiprocessing
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql
from support.lone_postgresql import LonePostgresql, lone_postgresql
from support.processes import wait_for

from v2t.db import statements
from v2t.db.migrations import upgrade
from v2t.db.partitions import Month
from v2t.db.records import SqlJobRecords, open_records
from v2t.db.schema import METADATA
from v2t.domain.errors import ConfigurationError, CredentialsRefused, RecordsUnreachable
from v2t.domain.jobs import JobState
from v2t.domain.ports import JobFilter
from v2t.domain.records import JobRecord

pytestmark = pytest.mark.servers

DAY_SECONDS = 86_400
NOW = time.time()
RECORD = JobRecord("t-abc", "ada", "a.wav", "0" * 64, 1, JobState.COMPLETED, created_at=NOW)


@pytest.fixture(scope="module")
def server() -> Iterator[LonePostgresql]:
    with lone_postgresql() as running:
        yield running


@pytest.fixture
def url(server: LonePostgresql) -> str:
    return server.new_database()


@pytest.fixture
def records(url: str) -> Iterator[SqlJobRecords]:
    with closing(open_records(url)) as opened:
        yield opened


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def partitions(url: str) -> dict[str, int]:
    """Each partition with rows, and how many."""
    found = rows(url, "SELECT tableoid::regclass::text, count(*) FROM transcriptions GROUP BY 1")
    return {str(name): int(count) for name, count in found}


def partition_names(url: str) -> set[str]:
    return {
        name
        for (name,) in rows(
            url,
            "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class "
            "ON pg_class.oid = inhparent WHERE relname = 'transcriptions'",
        )
    }


def unix(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


# Tables


def test_the_migrations_make_the_tables_of_the_schema(records: SqlJobRecords) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def is_ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
        return not (kind == "table" and str(name).startswith("transcriptions_"))

    with records._primary.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        assert compare_metadata(context, METADATA) == []


def test_partitions_are_made_for_this_month_and_those_ahead(url: str) -> None:
    open_records(url, months_ahead=2).close()
    month = Month.of(time.time())
    ahead = {month.table, month.following.table, month.following.following.table}
    assert partition_names(url) == {*ahead, "transcriptions_default"}


def test_the_end_of_a_month_and_the_start_of_the_next_lie_in_their_own_partitions(
    records: SqlJobRecords, url: str
) -> None:
    records.make_room(unix(2031, 12, 15))
    boundary = unix(2032, 1, 1)
    for job_id, moment in (("t-last", boundary - 0.000001), ("t-first", boundary)):
        records.save(replace(RECORD, job_id=job_id, created_at=moment))
    assert partitions(url) == {"transcriptions_y2031m12": 1, "transcriptions_y2032m01": 1}
    assert [record.job_id for record in records.find(JobFilter(since=boundary))] == ["t-first"]
    assert [record.job_id for record in records.find(JobFilter(until=boundary))] == ["t-last"]


def test_a_row_without_partition_is_kept_and_moves_when_its_month_is_made(records: SqlJobRecords, url: str) -> None:
    astray = replace(RECORD, created_at=unix(2031, 5, 5))
    far_too_old = replace(RECORD, job_id="t-old", created_at=1.0)
    records.save(astray)
    records.save(far_too_old)
    assert partitions(url) == {"transcriptions_default": 2}
    records.make_room(unix(2031, 6, 1))
    assert partitions(url) == {"transcriptions_default": 1, "transcriptions_y2031m05": 1}
    assert records.get("t-abc") == astray
    assert records.get("t-old") == far_too_old
    again = replace(RECORD, created_at=unix(2031, 7, 7))
    records.save(again)
    records.save(astray)
    assert records.find(JobFilter(limit=9)) == [again, far_too_old]


def test_partitions_that_cannot_be_made_now_are_left_for_later(
    records: SqlJobRecords, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v2t.db.partitions._LOCK_TIMEOUT", "50ms")
    with psycopg.connect(url.replace("+psycopg", "")) as reader:
        reader.execute("SELECT count(*) FROM transcriptions")  # a long transaction
        reader.execute("LOCK TABLE transcriptions_default IN ACCESS SHARE MODE")
        records.make_room(unix(2031, 1, 1))
        assert "partitions are left for later" in caplog.text
        records.save(RECORD)
    records.make_room(unix(2031, 1, 1))
    assert "transcriptions_y2031m01" in partition_names(url)


# Many at once


def _open_and_save(url: str, now: float, number: int, go: Any, failures: Any) -> None:
    try:
        go.wait()
        with closing(open_records(url)) as records:
            for turn in range(40):
                run = replace(RECORD, created_at=now + turn % 3 * 40 * DAY_SECONDS, words=turn, user=f"user{number}")
                records.save(replace(run, state=JobState.RUNNING))
                records.save(run)
                records.save(replace(run, job_id=f"t-{number}-{turn}"))
                records.make_room(unix(2029, turn % 12 + 1, 1))
    except Exception as error:  # noqa: BLE001 - the parent reports it
        failures.put(repr(error))


def test_processes_that_open_a_new_database_and_save_at_once_leave_one_true_row_a_job(url: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["v2t.db.records"])
    go, failures = context.Event(), context.SimpleQueue()
    savers = [context.Process(target=_open_and_save, args=(url, NOW, number, go, failures)) for number in range(4)]
    for saver in savers:
        saver.start()
    go.set()
    for saver in savers:
        saver.join(120)
    assert failures.empty(), failures.get()
    assert [saver.exitcode for saver in savers] == [0] * len(savers)
    assert rows(url, "SELECT created_at FROM transcriptions WHERE job_id = 't-abc'") == [(NOW + 80 * DAY_SECONDS,)]
    assert rows(url, "SELECT count(*) FROM transcriptions") == [(4 * 40 + 1,)]


@pytest.mark.parametrize("days", [40, -40], ids=["a newer run", "an older run"])
def test_a_save_waits_for_another_one_of_the_same_job_and_sees_it(records: SqlJobRecords, url: str, days: int) -> None:
    other = replace(RECORD, created_at=NOW + days * DAY_SECONDS)
    engine = create_engine(url)
    with engine.connect() as slow:
        slow.execute(statements.save_record("postgresql", RECORD))  # and does not commit yet
        saver = threading.Thread(target=records.save, args=(other,))
        saver.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_for(lambda: not saver.is_alive() or rows(url, waiting) == [(1,)], "the other save waits", seconds=30)
        slow.commit()
    saver.join(30)
    engine.dispose()
    assert records.find(JobFilter()) == [max(RECORD, other, key=lambda record: record.created_at)]


# Loss of the server


def test_a_restart_of_the_server_in_the_middle_loses_no_save(server: LonePostgresql, records: SqlJobRecords) -> None:
    saved: list[str] = []
    failures: list[Exception] = []
    ending = threading.Event()

    def save_on() -> None:
        while not ending.is_set():
            job_id = f"t-{len(saved)}"
            try:
                records.save(replace(RECORD, job_id=job_id))
            except Exception as error:  # noqa: BLE001 - the test reports it
                failures.append(error)
                return
            saved.append(job_id)

    saver = threading.Thread(target=save_on)
    saver.start()
    wait_for(lambda: len(saved) > 20, "saves go well")
    server.stop()
    server.start()
    before = len(saved)
    wait_for(lambda: len(saved) > before + 20 or failures, "saves go on", seconds=60)
    ending.set()
    saver.join(60)
    assert failures == []
    assert {record.job_id for record in records.find(JobFilter(limit=100_000))} == set(saved)


def test_connections_that_died_while_idle_are_not_noticed(server: LonePostgresql, records: SqlJobRecords) -> None:
    assert records.get("t-abc") is None
    server.kill()
    server.start()
    records.save(RECORD)
    assert records.get("t-abc") == RECORD


def test_a_server_that_is_down_is_worth_a_retry(server: LonePostgresql, url: str) -> None:
    server.stop()
    begun = time.monotonic()
    try:
        with pytest.raises(RecordsUnreachable, match="does not answer") as raised:
            open_records(url)
    finally:
        server.start()
    assert raised.value.retryable
    assert time.monotonic() - begun < 60
    assert server.layout.database_password not in str(raised.value)


def test_a_wrong_password_is_not_worth_a_retry(url: str) -> None:
    wrong = url.replace("://v2t:", "://v2t:hush")
    with pytest.raises(CredentialsRefused, match=r"check database\.url") as raised:
        open_records(wrong)
    assert "hush" not in str(raised.value)


def test_a_missing_database_is_named_with_the_way_to_make_it(server: LonePostgresql) -> None:
    with pytest.raises(ConfigurationError, match="createdb --owner v2t nosuch"):
        open_records(server.layout.database_url("nosuch"))


# Migration


def test_the_rows_of_0001_move_to_their_months(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, "0001")
        for job_id, moment in (("t-now", NOW), ("t-2025", unix(2025, 3, 3)), ("t-odd", 1.0)):
            values = {
                column: value
                for column, value in statements._fields(replace(RECORD, job_id=job_id, created_at=moment)).items()
                if column not in ("batch_id", "engine_seconds", "tags")  # of later versions
            }
            names = ", ".join(f'"{name}"' for name in values)
            places = ", ".join(f":{name}" for name in values)
            connection.execute(text(f"INSERT INTO transcriptions ({names}) VALUES ({places})"), values)  # noqa: S608
    engine.dispose()
    with closing(open_records(url)) as records:
        assert [record.job_id for record in records.find(JobFilter())] == ["t-now", "t-2025", "t-odd"]
        assert records.get("t-now") == replace(RECORD, job_id="t-now")
    assert partitions(url) == {
        Month.of(NOW).table: 1,
        "transcriptions_y2025m03": 1,
        "transcriptions_default": 1,
    }


# Plans


def explain(url: str, wanted: JobFilter) -> str:
    query = statements.matching(wanted).compile(
        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    return "\n".join(line for (line,) in rows(url, f"EXPLAIN (COSTS OFF) {query}"))


@pytest.fixture(scope="module")
def filled(server: LonePostgresql) -> str:
    """A database with some thousand rows over six months of two hundred users."""
    url = server.new_database()
    with closing(open_records(url, months_ahead=1)) as records:
        records.make_room(unix(2030, 1, 1))
        for month in range(1, 7):
            records.make_room(unix(2030, month, 1))
    rows(
        url,
        f"""
        INSERT INTO transcriptions (job_id, "user", name, sha256, size_bytes, state, provider, model, language,
            audio_seconds, words, transcript_key, error_code, error_message, created_at, finished_at, batch_id)
        SELECT 't-' || n, 'user' || n % 200, 'a.wav', '', 1, CASE n % 100 WHEN 0 THEN 'failed' ELSE 'completed' END,
            'whisper_cpp', 'base', 'en', 1, 1, '', '', '', {unix(2030, 1, 1)} + n * 1296.0, 0, 'b-' || n % 500
        FROM generate_series(1, 12000) AS n
        """,  # noqa: S608
    )
    rows(url, "ANALYZE transcriptions")
    return url


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(user="user7"), "user_created_at"),
        (JobFilter(batch_id="b-7"), "batch_id_created_at"),
        (JobFilter(state=JobState.FAILED), "state_created_at"),
        (JobFilter(), "created_at"),
    ],
    ids=["user", "batch", "state", "newest"],
)
def test_a_search_reads_the_index_of_its_field_and_no_table_whole(filled: str, wanted: JobFilter, index: str) -> None:
    plan = explain(filled, wanted)
    assert index in plan, plan
    assert not re.search(r"Seq Scan on transcriptions_y2030m0[1-6]", plan), plan


def test_a_search_in_a_month_looks_at_no_other(filled: str) -> None:
    plan = explain(filled, JobFilter(user="user7", since=unix(2030, 3, 1), until=unix(2030, 4, 1)))
    assert "transcriptions_y2030m03" in plan
    assert "transcriptions_y2030m02" not in plan
    assert "transcriptions_y2030m04" not in plan


# Replica


def _saved_in(url: str, found: Sequence[JobRecord]) -> None:
    with closing(open_records(url)) as records:
        for record in found:
            records.save(record)


def test_lists_and_searches_ask_the_replica(server: LonePostgresql, url: str) -> None:
    replica = server.new_database()  # told from the primary by what is in it
    _saved_in(replica, [replace(RECORD, name="replica.wav")])
    _saved_in(url, [RECORD])
    with closing(open_records(url, replica)) as records:
        assert [record.name for record in records.find(JobFilter())] == ["replica.wav"]
        assert [record.name for record in records.older_than(NOW + 1, 5)] == ["replica.wav"]
        assert records.get("t-abc") == RECORD, "one record is asked for to know how it stands now"


def test_the_primary_answers_for_a_replica_that_does_not(
    server: LonePostgresql, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = server.layout.database_url("nosuch")
    _saved_in(url, [RECORD])
    with closing(open_records(url, nowhere)) as records, caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert list(records.find(JobFilter())) == [RECORD]
            assert list(records.attempts("t-abc")) == []
            records._replica_rests_until = 0.0
    assert caplog.text.count("the primary answers for the replica") == 1
    assert server.layout.database_password not in caplog.text
