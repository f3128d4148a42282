"""Workers, their disks and their clocks fail in the middle of work."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.pipeline import Pipeline
from support.workers import running_workers

pytestmark = pytest.mark.chaos

_NOTICED_SECONDS = 20.0


def test_a_killed_worker_costs_its_chunks_and_another_takes_them_soon(pipeline: Pipeline) -> None:
    victim, survivor = pipeline.worker("killed-1"), pipeline.worker("killed-2")
    with running_workers(victim, survivor):
        batch = pipeline.batch()
        victim.hold_a_chunk()
        victim.kill()
        killed_at = time.time()
        outcome = pipeline.finish(batch)

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()
    again = [event for request in pipeline.requests.values() for event in _second_attempts(pipeline, request.job_id)]
    assert again, "nothing was taken over"
    assert len(again) <= 1 + 8, "more than what the victim held in its hands was done again"
    assert max(again) - killed_at <= _NOTICED_SECONDS


def test_a_worker_that_is_told_to_end_gives_its_work_back(pipeline: Pipeline) -> None:
    leaver, stayer = pipeline.worker("leaving", {"V2T_WORKER__DRAIN_SECONDS": "0"}), pipeline.worker("staying")
    with running_workers(leaver, stayer):
        batch = pipeline.batch()
        leaver.hold_a_chunk()
        assert leaver.stop() == 0
        outcome = pipeline.finish(batch)

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a disk of its own can only be mounted by root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "v2t-small", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_worker_with_a_full_disk_leaves_the_work_to_others(pipeline: Pipeline, small_disk: Path) -> None:
    full = pipeline.worker("full", {"V2T_CACHE__FOLDER": str(small_disk)})
    with running_workers(full, pipeline.worker("roomy")):
        _fill(small_disk)
        outcome = pipeline.finish(pipeline.batch())

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


def test_a_damaged_entry_in_a_disk_cache_is_fetched_anew(pipeline: Pipeline) -> None:
    worker = pipeline.worker("damaged")
    with running_workers(worker):
        assert pipeline.finish(pipeline.batch()).exit_code == 0
        entries = [path for path in worker.cache.rglob("*") if path.is_file() and path.stat().st_size > 10_000]
        assert len(entries) >= len(pipeline.recordings)
        for path in entries:
            _flip(path)
        pipeline.forget_everything()
        outcome = pipeline.finish(pipeline.batch())

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


@pytest.mark.parametrize("skew", ["-10m", "+10m"])
def test_a_worker_whose_clock_is_wrong_does_its_work(pipeline: Pipeline, skew: str) -> None:
    worker = pipeline.worker(f"skewed{skew[1:]}-{skew.startswith('+')}", prefix=("faketime", "-f", skew))
    with running_workers(worker):
        outcome = pipeline.finish(pipeline.batch())

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


def _second_attempts(pipeline: Pipeline, job_id: str) -> list[float]:
    """When each step of a job was begun that had been begun before, in Unix time."""
    started: list[dict[str, Any]] = [
        event for event in pipeline.history(job_id) if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_STARTED"
    ]
    return [
        datetime.fromisoformat(event["eventTime"]).timestamp()
        for event in started
        if event["activityTaskStartedEventAttributes"].get("attempt", 1) > 1
    ]


def _fill(folder: Path) -> None:
    with (folder / "ballast").open("wb") as file:
        while True:
            try:
                file.write(bytes(1 << 16))
                file.flush()
            except OSError:
                return


def _flip(path: Path) -> None:
    """Change some bytes in the middle, and neither size nor time."""
    facts = path.stat()
    with path.open("r+b") as file:
        file.seek(facts.st_size // 2)
        block = file.read(64)
        file.seek(facts.st_size // 2)
        file.write(bytes(byte ^ 0xFF for byte in block))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
