"""The servers fail in the middle of work."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from support.pipeline import Pipeline
from support.processes import wait_for
from support.recordings import write_wav
from support.workers import running_workers

from v2t.domain.jobs import transcript_key

pytestmark = pytest.mark.chaos

_DOWN_SECONDS = 5.0
_MEGABYTE = 1 << 20


def test_one_minio_node_is_killed_while_recordings_are_uploaded(pipeline: Pipeline, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-3000, 3000, 60 * _MEGABYTE, dtype=np.int16)
    large = write_wav(tmp_path / "large.wav", noise)
    with running_workers(pipeline.worker("upload")):
        upload = pipeline.command.start("transcribe", large, "--model", "tiny.en", "--no-wait")
        wait_for(lambda: pipeline.is_uploading(large), "the upload runs", 60)
        pipeline.servers.minio[2].kill()
        outcome = pipeline.finish(upload)
        assert outcome.exit_code == 0, outcome.stderr
        job_id = outcome.stdout.strip()
        assert pipeline.command.run("jobs", "cancel", job_id).exit_code == 0
        batch = pipeline.finish(pipeline.batch())

    assert batch.exit_code == 0, batch.stderr
    pipeline.assert_one_result_each()


def test_one_minio_node_is_killed_while_recordings_are_downloaded(pipeline: Pipeline) -> None:
    with running_workers(pipeline.worker("download")):
        batch = pipeline.batch()
        wait_for(lambda: pipeline.finished_chunks() > 0, "work is done", 60)
        pipeline.servers.minio[1].kill()
        outcome = pipeline.finish(batch)

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


def test_temporal_is_killed_and_started_again_under_load(pipeline: Pipeline) -> None:
    with running_workers(pipeline.worker("temporal-1"), pipeline.worker("temporal-2")):
        batch = pipeline.batch()
        wait_for(lambda: pipeline.finished_chunks() > 0, "work is done", 60)
        pipeline.servers.temporal.kill()
        time.sleep(_DOWN_SECONDS)
        pipeline.servers.temporal.start()
        outcome = pipeline.finish(batch)

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


def test_postgresql_is_restarted(pipeline: Pipeline) -> None:
    with running_workers(pipeline.worker("postgresql")):
        batch = pipeline.batch()
        wait_for(lambda: pipeline.finished_chunks() > 0, "work is done", 60)
        pipeline.servers.postgresql.kill()
        time.sleep(_DOWN_SECONDS)
        pipeline.servers.postgresql.start()
        outcome = pipeline.finish(batch)

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


def test_redis_is_gone(pipeline: Pipeline) -> None:
    with running_workers(pipeline.worker("redis")):
        batch = pipeline.batch()
        wait_for(lambda: pipeline.finished_chunks() > 0, "work is done", 60)
        pipeline.servers.redis.kill()
        outcome = pipeline.finish(batch)

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


def test_a_transcript_deleted_behind_our_back_is_made_again(pipeline: Pipeline) -> None:
    with running_workers(pipeline.worker("deleted")):
        assert pipeline.finish(pipeline.batch()).exit_code == 0
        for request in list(pipeline.requests.values())[:3]:
            pipeline.store.delete(transcript_key(request.job_id))
        outcome = pipeline.finish(pipeline.batch())

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


def test_a_recording_deleted_behind_our_back_is_named_and_taken_again(pipeline: Pipeline) -> None:
    request = pipeline.requests["short-0.wav"]
    with running_workers(pipeline.worker("recording")):
        pipeline.store.delete(request.audio.key)
        outcome = pipeline.finish(pipeline.batch())

    assert outcome.exit_code == 0, outcome.stderr
    pipeline.assert_one_result_each()


def test_the_same_batch_submitted_twice_at_once_is_done_once(pipeline: Pipeline) -> None:
    with running_workers(pipeline.worker("twice")):
        both = pipeline.batch(), pipeline.batch()
        outcomes = [pipeline.finish(process) for process in both]

    assert [outcome.exit_code for outcome in outcomes] == [0, 0], outcomes
    pipeline.assert_one_result_each()
    assert pipeline.attempts_made() == pipeline.chunks_of_an_undisturbed_run
