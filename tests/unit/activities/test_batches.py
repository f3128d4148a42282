from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from v2t.activities.batches import STILL_RUNNING, BatchActivities
from v2t.domain.batches import (
    BatchGroup,
    BatchItem,
    BatchTotals,
    FileOutcome,
    FollowRequest,
    GroupOutcomes,
    ReportRequest,
    decode_outcome,
    encode_group,
    group_key,
    report_key,
)
from v2t.domain.errors import ClusterUnreachable, JobCancelled, NotAudio, V2TError
from v2t.domain.jobs import AudioRef, JobState, TranscribeOptions, TranscribeRequest, TranscribeResult, transcript_key
from v2t.testing import MemoryJobRecords, MemoryObjectStore

OPTIONS = TranscribeOptions()
RESULT = TranscribeResult("t-a", transcript_key("t-a"), "en", 2.0, 3, "fake", "base")
FOLLOW = FollowRequest("t-a", "a.wav")


class OneJob:
    """RunningJobs that know one job."""

    def __init__(self, state: JobState | None, result: TranscribeResult | V2TError = RESULT) -> None:
        self._state = state
        self._result = result

    async def state(self, job_id: str) -> JobState | None:
        return self._state

    async def result(self, job_id: str) -> TranscribeResult:
        if isinstance(self._result, V2TError):
            raise self._result
        return self._result

    async def requests(self) -> AsyncIterator[TranscribeRequest]:
        for request in list[TranscribeRequest]():
            yield request

    async def batch_ids(self) -> AsyncIterator[str]:
        for batch_id in list[str]():
            yield batch_id


@pytest.fixture
def store() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def environment() -> ActivityEnvironment:
    return ActivityEnvironment()


def activities(store: MemoryObjectStore, jobs: OneJob, folder: Path) -> BatchActivities:
    return BatchActivities(store, MemoryJobRecords(), jobs, folder)


async def test_a_job_that_runs_is_asked_about_later_and_later(
    store: MemoryObjectStore, environment: ActivityEnvironment, tmp_path: Path
) -> None:
    steps = activities(store, OneJob(JobState.RUNNING), tmp_path)
    waits = []
    for attempt in (1, 2, 5, 1000):
        environment.info = ActivityEnvironment.default_info()
        object.__setattr__(environment.info, "attempt", attempt)
        with pytest.raises(ApplicationError) as caught:
            await environment.run(steps.follow_job, FOLLOW)
        assert caught.value.type == STILL_RUNNING
        assert caught.value.next_retry_delay
        waits.append(caught.value.next_retry_delay.total_seconds())
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.5, 15.0)


async def test_a_job_that_has_completed_is_an_answer_unless_its_transcript_is_gone(
    store: MemoryObjectStore, environment: ActivityEnvironment, tmp_path: Path
) -> None:
    steps = activities(store, OneJob(JobState.COMPLETED), tmp_path)
    assert (await environment.run(steps.follow_job, FOLLOW)).again
    store.put_bytes(transcript_key("t-a"), b"{}")
    followed = await environment.run(steps.follow_job, FOLLOW)
    assert not followed.again
    assert followed.outcome == FileOutcome("a.wav", JobState.COMPLETED, "t-a", 2.0, 3, transcript_key("t-a"))


@pytest.mark.parametrize(
    ("jobs", "state", "again"),
    [
        (OneJob(JobState.FAILED, NotAudio("it is a text")), JobState.FAILED, False),
        (OneJob(JobState.CANCELLED, JobCancelled()), JobState.CANCELLED, True),
        (OneJob(None), JobState.CANCELLED, True),
    ],
    ids=["failed", "cancelled", "unknown"],
)
async def test_only_a_job_that_failed_by_itself_has_failed(
    store: MemoryObjectStore,
    environment: ActivityEnvironment,
    tmp_path: Path,
    jobs: OneJob,
    state: JobState,
    again: bool,
) -> None:
    followed = await environment.run(activities(store, jobs, tmp_path).follow_job, FOLLOW)
    assert (followed.outcome.state, followed.again) == (state, again)


async def test_a_server_that_does_not_answer_is_no_answer(
    store: MemoryObjectStore, environment: ActivityEnvironment, tmp_path: Path
) -> None:
    steps = activities(store, OneJob(JobState.FAILED, ClusterUnreachable()), tmp_path)
    with pytest.raises(ClusterUnreachable):
        await environment.run(steps.follow_job, FOLLOW)


async def test_the_report_has_a_line_for_every_file_also_of_groups_without_outcomes(
    store: MemoryObjectStore, environment: ActivityEnvironment, tmp_path: Path
) -> None:
    for index in range(2):
        names = [f"{index}{letter}.wav" for letter in "ab"]
        items = tuple(BatchItem(name, 1, TranscribeRequest(AudioRef(name, 1, name), OPTIONS)) for name in names)
        store.put_bytes(group_key("b-x", index), encode_group(BatchGroup(index, items, OPTIONS)))
    steps = activities(store, OneJob(None), tmp_path)
    done = tuple(FileOutcome(name, JobState.COMPLETED, audio_seconds=1.0) for name in ("0a.wav", "0b.wav"))
    await environment.run(steps.store_outcomes, GroupOutcomes("b-x", 0, done))
    totals = await environment.run(steps.store_report, ReportRequest("b-x", 3, JobState.CANCELLED))
    assert totals == BatchTotals(completed=2, cancelled=2, audio_seconds=2.0)
    lines = store.get_bytes(report_key("b-x")).splitlines()
    assert [(decode_outcome(line).name, decode_outcome(line).state) for line in lines] == [
        ("0a.wav", JobState.COMPLETED),
        ("0b.wav", JobState.COMPLETED),
        ("1a.wav", JobState.CANCELLED),
        ("1b.wav", JobState.CANCELLED),
    ]
    assert not list(tmp_path.iterdir())  # noqa: ASYNC240 - an empty folder
