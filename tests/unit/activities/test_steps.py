from __future__ import annotations

import dataclasses
import errno
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from v2t.activities import steps
from v2t.activities.steps import ATTEMPTS, on_the_disk_of, step
from v2t.domain.errors import (
    EngineCrashed,
    NotAudio,
    RecordsUnreachable,
    StorageFull,
    StoreUnreachable,
    V2TError,
    WorkerDiskFull,
)


async def run(error: V2TError, attempt: int) -> None:
    """Fail with `error` inside a step at an attempt."""
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, attempt=attempt)

    async def fail() -> None:
        async with step():
            raise error

    await environment.run(fail)


async def test_what_fails_too_often_is_given_up_with_its_name() -> None:
    with pytest.raises(EngineCrashed):
        await run(EngineCrashed("It died."), ATTEMPTS - 1)
    with pytest.raises(ApplicationError, match=r"It died\.") as raised:
        await run(EngineCrashed("It died."), ATTEMPTS)
    assert (raised.value.type, raised.value.non_retryable) == ("EngineCrashed", True)


@pytest.mark.parametrize("error", [StoreUnreachable(), RecordsUnreachable(), WorkerDiskFull()])
async def test_a_server_that_is_away_is_waited_for_however_often(error: V2TError) -> None:
    with pytest.raises(type(error)):
        await run(error, ATTEMPTS * 5)


async def test_what_cannot_get_better_keeps_its_class() -> None:
    with pytest.raises(NotAudio):
        await run(NotAudio(), ATTEMPTS)


@pytest.mark.parametrize("error", [StorageFull("full"), OSError(errno.ENOSPC, "No space left")])
async def test_a_full_disk_is_one_machines_trouble_in_a_cluster(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_FULL_DISK_SECONDS", 0.0)
    with pytest.raises(WorkerDiskFull, match="m4-1"):
        await write("m4-1", error)
    with pytest.raises(StorageFull):
        await write("", error)


async def test_other_failures_of_a_disk_pass() -> None:
    with pytest.raises(OSError, match="Input/output"):
        await write("m4-1", OSError(errno.EIO, "Input/output error"))


async def write(host: str, error: Exception) -> Any:
    async with on_the_disk_of(host):
        raise error
