"""The same cases for every keeper of job records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from v2t.db.records import open_records
from v2t.domain.jobs import JobRecord, JobState
from v2t.domain.ports import JobRecords
from v2t.testing import MemoryJobRecords

KEEPERS: dict[str, Callable[[Path], AbstractContextManager[JobRecords]]] = {
    "sqlite": lambda folder: closing(open_records(f"sqlite:///{folder}/records.db")),
    "memory": lambda folder: nullcontext(MemoryJobRecords()),
}

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
)
FAILED = replace(RUNNING, state=JobState.FAILED, error_code="NotAudio", error_message="not audio")


@pytest.fixture(params=KEEPERS)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobRecords]:
    with KEEPERS[request.param](tmp_path) as opened:
        yield opened


def test_a_record_comes_back_as_it_was(records: JobRecords) -> None:
    records.save(COMPLETED)
    assert records.get("t-abc") == COMPLETED


def test_an_unknown_job_has_no_record(records: JobRecords) -> None:
    assert records.get("t-abc") is None
    assert list(records.find()) == []


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


def test_the_last_end_of_a_run_counts(records: JobRecords) -> None:
    records.save(FAILED)
    records.save(COMPLETED)
    assert records.get("t-abc") == COMPLETED


def test_records_are_found_newest_first_up_to_the_limit(records: JobRecords) -> None:
    for number in (2, 1, 3):
        records.save(replace(RUNNING, job_id=f"t-{number}", created_at=float(number)))
    assert [record.job_id for record in records.find()] == ["t-3", "t-2", "t-1"]
    assert [record.job_id for record in records.find(limit=2)] == ["t-3", "t-2"]


def test_records_are_found_by_user_and_state(records: JobRecords) -> None:
    records.save(replace(COMPLETED, job_id="t-1"))
    records.save(replace(COMPLETED, job_id="t-2", user="grace"))
    records.save(replace(RUNNING, job_id="t-3"))
    assert {record.job_id for record in records.find(user="ada")} == {"t-1", "t-3"}
    assert {record.job_id for record in records.find(state=JobState.COMPLETED)} == {"t-1", "t-2"}
    assert [record.job_id for record in records.find(user="ada", state=JobState.RUNNING)] == ["t-3"]


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
    assert {record.job_id for record in records.find(text=text)} == found


@pytest.mark.parametrize("name", ["речь 🎙.wav", "'); DROP TABLE transcriptions; --.wav", "two\nlines.wav"])
def test_a_name_may_hold_any_character(records: JobRecords, name: str) -> None:
    records.save(replace(RUNNING, name=name))
    saved = records.get("t-abc")
    assert saved is not None
    assert saved.name == name


@pytest.mark.parametrize("name", ["undecodable \udcff.wav", "with \0 NUL.wav"])
def test_a_name_that_is_no_text_is_kept_in_its_readable_part(records: JobRecords, name: str) -> None:
    records.save(replace(RUNNING, name=name))
    assert [record.job_id for record in records.find(text=".wav")] == ["t-abc"]
