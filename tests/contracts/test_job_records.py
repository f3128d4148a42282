"""The same cases for every keeper of job records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.lone_postgresql import LonePostgresql, lone_postgresql

from v2t.db.records import open_records
from v2t.domain.jobs import JobState
from v2t.domain.ports import JobFilter, JobRecords
from v2t.domain.records import JobRecord, ProviderAttempt
from v2t.testing import MemoryJobRecords

RUNNING = JobRecord(
    job_id="t-abc",
    user="ada",
    name="Interview 1.wav",
    sha256="0" * 64,
    size_bytes=1 << 40,
    state=JobState.RUNNING,
    created_at=1_800_000_000.123456,
)
COMPLETED = replace(
    RUNNING,
    state=JobState.COMPLETED,
    provider="whisper_cpp",
    model="base",
    language="en",
    audio_seconds=61.2,
    words=154,
    transcript_key="jobs/t-abc/transcript.json",
    finished_at=1_800_000_009.5,
    batch_id="b-1",
    engine_seconds=4.75,
    tags=("court", "访谈"),
)
FAILED = replace(RUNNING, state=JobState.FAILED, error_code="NotAudio", error_message="not audio")


ATTEMPT = ProviderAttempt(
    job_id="t-abc",
    chunk_index=0,
    attempt=1,
    provider="whisper_cpp",
    model="base",
    worker="m4-1/311",
    started_at=1_800_000_001.25,
    seconds=2.5,
    audio_seconds=61.2,
)


@pytest.fixture(scope="module")
def server() -> Iterator[LonePostgresql]:
    with lone_postgresql() as running:
        yield running


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobRecords]:
    if request.param == "memory":
        yield MemoryJobRecords()
        return
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/records.db" if sqlite else request.getfixturevalue("server").new_database()
    with closing(open_records(url)) as opened:
        yield opened


def test_a_record_comes_back_as_it_was(records: JobRecords) -> None:
    records.save(COMPLETED)
    assert records.get("t-abc") == COMPLETED


def test_costs_are_summed_by_provider_user_and_month(records: JobRecords) -> None:
    paid = replace(ATTEMPT, provider="openai", audio_seconds=30.0, dollars=0.003)
    later = ATTEMPT.started_at + 40 * 86_400
    for attempt in (
        ATTEMPT,
        paid,
        replace(paid, chunk_index=1),
        replace(paid, chunk_index=2, error_code="ProviderFailed", dollars=0.0),
        replace(paid, job_id="t-of-a-forgotten-job", started_at=later),
    ):
        records.save_attempt(attempt)
    records.save(COMPLETED)

    found = {by: [dataclasses.astuple(line) for line in records.costs(by)] for by in ("provider", "user", "month")}
    assert found["provider"] == [("openai", 2, 90.0, pytest.approx(0.009)), ("whisper_cpp", 1, 61.2, 0.0)]
    assert found["user"] == [("", 1, 30.0, 0.003), ("ada", 1, pytest.approx(121.2), pytest.approx(0.006))]
    assert found["month"] == [("2027-01", 1, pytest.approx(121.2), pytest.approx(0.006)), ("2027-02", 1, 30.0, 0.003)]
    assert [line.dollars for line in records.costs("provider", since=later)] == [0.003]
    assert [line.key for line in records.costs("month", until=later)] == ["2027-01"]


def test_calls_are_counted_by_provider_and_those_that_were_not_made_are_left_out(records: JobRecords) -> None:
    asked = replace(ATTEMPT, provider="openai")
    for attempt in (
        replace(asked, started_at=ATTEMPT.started_at - 1),
        asked,
        replace(asked, chunk_index=1),
        replace(asked, chunk_index=2, error_code="ProviderFailed"),
        replace(asked, chunk_index=3, error_code="ProviderResting"),
        replace(ATTEMPT, error_code="EngineCrashed"),
    ):
        records.save_attempt(attempt)
    since_then = records.calls(ATTEMPT.started_at)
    assert [dataclasses.astuple(line) for line in since_then] == [("openai", 3, 2), ("whisper_cpp", 1, 0)]
    assert [str(line) for line in since_then] == ["67 % of 3", "0 % of 1"]
    assert records.calls(ATTEMPT.started_at + 1) == []


def test_an_unknown_job_has_no_record(records: JobRecords) -> None:
    assert records.get("t-abc") is None
    assert list(records.find(JobFilter())) == []


def test_a_finished_record_replaces_the_running_one(records: JobRecords) -> None:
    records.save(RUNNING)
    records.save(COMPLETED)
    assert records.get("t-abc") == COMPLETED


@pytest.mark.parametrize("finished", [COMPLETED, FAILED], ids=lambda record: str(record.state))
def test_a_late_running_record_of_the_same_run_changes_nothing(records: JobRecords, finished: JobRecord) -> None:
    records.save(finished)
    records.save(RUNNING)
    assert records.get("t-abc") == finished


def test_a_restarted_job_replaces_its_finished_record(records: JobRecords) -> None:
    restarted = replace(RUNNING, created_at=RUNNING.created_at + 60)
    records.save(FAILED)
    records.save(restarted)
    assert records.get("t-abc") == restarted


def test_a_late_record_of_an_older_run_changes_nothing(records: JobRecords) -> None:
    restarted = replace(RUNNING, created_at=RUNNING.created_at + 60)
    records.save(restarted)
    records.save(FAILED)
    assert records.get("t-abc") == restarted


def test_a_job_that_runs_again_months_later_has_one_record(records: JobRecords) -> None:
    again = replace(RUNNING, created_at=RUNNING.created_at + 70 * 86_400)
    for record in (COMPLETED, again, RUNNING, COMPLETED):
        records.save(record)
    assert list(records.find(JobFilter())) == [again]
    assert records.get("t-abc") == again


def test_the_last_end_of_a_run_counts(records: JobRecords) -> None:
    records.save(FAILED)
    records.save(COMPLETED)
    assert records.get("t-abc") == COMPLETED


def test_records_are_found_newest_first_up_to_the_limit(records: JobRecords) -> None:
    for number in (2, 1, 3):
        records.save(replace(RUNNING, job_id=f"t-{number}", created_at=float(number)))
    assert [record.job_id for record in records.find(JobFilter())] == ["t-3", "t-2", "t-1"]
    assert [record.job_id for record in records.find(JobFilter(limit=2))] == ["t-3", "t-2"]


def test_records_are_found_by_user_and_state(records: JobRecords) -> None:
    records.save(replace(COMPLETED, job_id="t-1"))
    records.save(replace(COMPLETED, job_id="t-2", user="grace"))
    records.save(replace(RUNNING, job_id="t-3"))
    assert {record.job_id for record in records.find(JobFilter(user="ada"))} == {"t-1", "t-3"}
    assert {record.job_id for record in records.find(JobFilter(state=JobState.COMPLETED))} == {"t-1", "t-2"}
    assert [record.job_id for record in records.find(JobFilter(user="ada", state=JobState.RUNNING))] == ["t-3"]


def test_records_are_found_by_provider_and_batch(records: JobRecords) -> None:
    records.save(replace(COMPLETED, job_id="t-1"))
    records.save(replace(COMPLETED, job_id="t-2", provider="openai"))
    records.save(replace(COMPLETED, job_id="t-3", batch_id="b-2"))
    assert {record.job_id for record in records.find(JobFilter(provider="whisper_cpp"))} == {"t-1", "t-3"}
    assert {record.job_id for record in records.find(JobFilter(batch_id="b-1"))} == {"t-1", "t-2"}
    assert [record.job_id for record in records.find(JobFilter(provider="openai", batch_id="b-2"))] == []


def test_records_are_found_from_a_time_on_and_until_before_another(records: JobRecords) -> None:
    for number in (1, 2, 3):
        records.save(replace(RUNNING, job_id=f"t-{number}", created_at=float(number)))
    assert [record.job_id for record in records.find(JobFilter(since=2.0))] == ["t-3", "t-2"]
    assert [record.job_id for record in records.find(JobFilter(until=2.0))] == ["t-1"]
    assert [record.job_id for record in records.find(JobFilter(since=2.0, until=3.0))] == ["t-2"]


def test_old_finished_jobs_are_told_oldest_first(records: JobRecords) -> None:
    for number in (3, 1, 2, 4):
        records.save(replace(COMPLETED, job_id=f"t-{number}", created_at=float(number)))
    records.save(replace(RUNNING, job_id="t-0", created_at=0.5))
    assert [record.job_id for record in records.older_than(4.0, limit=10)] == ["t-1", "t-2", "t-3"]
    assert [record.job_id for record in records.older_than(4.0, limit=2)] == ["t-1", "t-2"]


def test_deleted_jobs_are_forgotten_with_their_attempts(records: JobRecords) -> None:
    for job_id in ("t-1", "t-2"):
        records.save(replace(COMPLETED, job_id=job_id))
        records.save_attempt(replace(ATTEMPT, job_id=job_id))
    records.delete(["t-1", "t-unknown"])
    records.delete([])
    assert records.get("t-1") is None
    assert list(records.attempts("t-1")) == []
    assert records.get("t-2") is not None
    assert len(records.attempts("t-2")) == 1


def test_many_jobs_are_deleted_in_one_call(records: JobRecords) -> None:
    records.save(COMPLETED)
    records.delete([f"t-{number}" for number in range(1200)] + ["t-abc"])
    assert records.get("t-abc") is None


def test_an_attempt_comes_back_as_it_was(records: JobRecords) -> None:
    failed = replace(ATTEMPT, error_code="EngineCrashed", error_message="it died\nhere")
    records.save_attempt(failed)
    assert list(records.attempts("t-abc")) == [failed]


def test_an_attempt_saved_twice_is_kept_once_as_it_was_said_last(records: JobRecords) -> None:
    records.save_attempt(ATTEMPT)
    records.save_attempt(replace(ATTEMPT, seconds=3.0))
    assert list(records.attempts("t-abc")) == [replace(ATTEMPT, seconds=3.0)]


def test_attempts_come_in_the_order_they_began(records: JobRecords) -> None:
    other_provider = replace(ATTEMPT, provider="faster_whisper", started_at=ATTEMPT.started_at + 1)
    second = replace(ATTEMPT, attempt=2, started_at=ATTEMPT.started_at + 2)
    other_chunk = replace(ATTEMPT, chunk_index=1)
    later_run = replace(ATTEMPT, started_at=ATTEMPT.started_at + 3600)
    for attempt in (later_run, second, other_chunk, other_provider, ATTEMPT):
        records.save_attempt(attempt)
    records.save_attempt(replace(ATTEMPT, job_id="t-other"))
    assert list(records.attempts("t-abc")) == [ATTEMPT, other_chunk, other_provider, second, later_run]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("interview", {"t-1", "t-2"}),
        ("100%", {"t-3"}),
        ("%", {"t-3"}),
        ("_", {"t-4"}),
        ("\\", {"t-5"}),
        ("T-4", {"t-4"}),
        ("nothing like it", set()),
    ],
)
def test_records_are_found_by_part_of_the_name_or_id_taken_literally(
    records: JobRecords, text: str, found: set[str]
) -> None:
    names = ("Interview 1.wav", "my INTERVIEW.ogg", "100% done.wav", "a_b.wav", "a\\b.wav")
    for number, name in enumerate(names, start=1):
        records.save(replace(RUNNING, job_id=f"t-{number}", name=name))
    assert {record.job_id for record in records.find(JobFilter(text=text))} == found


@pytest.mark.parametrize("name", ["речь 🎙.wav", "'); DROP TABLE transcriptions; --.wav", "two\nlines.wav"])
def test_a_name_may_hold_any_character(records: JobRecords, name: str) -> None:
    records.save(replace(RUNNING, name=name))
    saved = records.get("t-abc")
    assert saved is not None
    assert saved.name == name


@pytest.mark.parametrize("name", ["undecodable \udcff.wav", "with \0 NUL.wav"])
def test_a_name_that_is_no_text_is_kept_in_its_readable_part(records: JobRecords, name: str) -> None:
    records.save(replace(RUNNING, name=name))
    assert [record.job_id for record in records.find(JobFilter(text=".wav"))] == ["t-abc"]
