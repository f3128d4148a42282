from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from v2t.activities import attempts
from v2t.activities.attempts import AttemptLog, observe_nothing
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import EngineCrashed, RecordsUnreachable
from v2t.domain.jobs import Chunk, ChunkRequest, Piece, TranscribeOptions
from v2t.domain.records import ProviderAttempt
from v2t.testing import FakeTranscriber, MemoryJobRecords

REQUEST = ChunkRequest("t-1", Chunk(3, "t-1/chunks/00003.wav", (Piece(10.0, 5.0),)), TranscribeOptions(model="base"))


class Paid(FakeTranscriber):
    capabilities = Capabilities(dollars_per_minute=0.6)


async def make(log: AttemptLog, error: Exception | None = None, transcriber: FakeTranscriber | None = None) -> None:
    async def body() -> None:
        async with log.attempt(REQUEST, transcriber or FakeTranscriber()):
            if error:
                raise error

    await ActivityEnvironment().run(body)


async def test_what_a_provider_takes_by_its_price_is_kept_and_nothing_for_a_failure() -> None:
    records = MemoryJobRecords()
    log = AttemptLog(records, observe_nothing, "m4-1")
    await make(log, transcriber=Paid())
    with pytest.raises(EngineCrashed):
        await make(log, EngineCrashed(), Paid())
    assert [attempt.dollars for attempt in records.attempts("t-1")] == [pytest.approx(0.05), 0.0]


class Gone(MemoryJobRecords):
    def save_attempt(self, attempt: ProviderAttempt) -> None:
        raise RecordsUnreachable


class Hanging(MemoryJobRecords):
    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()

    def save_attempt(self, attempt: ProviderAttempt) -> None:
        self.ended.wait(30)
        super().save_attempt(attempt)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    records = Hanging()
    yield records
    records.ended.set()


async def test_a_try_is_kept_and_measured() -> None:
    records, seen = MemoryJobRecords(), list[ProviderAttempt]()
    await make(AttemptLog(records, seen.append, "m4-1"))
    (kept,) = records.attempts("t-1")
    assert seen == [kept]
    assert (kept.chunk_index, kept.attempt, kept.provider, kept.model, kept.audio_seconds) == (3, 1, "fake", "base", 5)
    assert (kept.error_code, kept.worker.partition(":")[0]) == ("", "m4-1")
    assert kept.seconds >= 0


@pytest.mark.parametrize(("error", "code"), [(EngineCrashed("It died."), "EngineCrashed"), (KeyError("x"), "KeyError")])
async def test_a_failed_try_is_kept_with_its_error(error: Exception, code: str) -> None:
    records = MemoryJobRecords()
    with pytest.raises(type(error)):
        await make(AttemptLog(records, attempts.observe_nothing, ""), error)
    assert [(kept.error_code, kept.error_message) for kept in records.attempts("t-1")] == [(code, str(error))]


async def test_records_that_are_gone_harm_no_transcription(caplog: pytest.LogCaptureFixture) -> None:
    await make(AttemptLog(Gone(), attempts.observe_nothing, ""))
    assert "an attempt at t-1 is not kept" in caplog.text


async def test_records_that_hang_delay_a_transcription_once(hanging: Hanging, monkeypatch: Any) -> None:
    monkeypatch.setattr(attempts, "_WAIT_SECONDS", 0.2)
    log = AttemptLog(hanging, attempts.observe_nothing, "")
    began = time.monotonic()
    for _ in range(5):
        await make(log)
    assert time.monotonic() - began < 0.9
