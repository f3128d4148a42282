"""What a cluster outlives: a lost node, a worker without power, the control host's reboot."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.deployed import (
    SAMPLE,
    begin_batch,
    chunks_done,
    end_batch,
    make_clips,
    place,
    transcribe,
    wait_healthy,
    words,
)
from support.lab import Lab
from support.processes import wait_for

pytestmark = pytest.mark.cluster

_PEERS_LOOK_SECONDS = 35
"""So long a MinIO node that returned may not be read from by its peers."""

TEXT = words(SAMPLE.with_suffix(".txt").read_text())


def test_a_batch_is_shared_among_all_workers(cluster: Lab, tmp_path: Path) -> None:
    workers = [cluster.host("m4-1"), cluster.host("m4-2")]
    before = [chunks_done(worker) for worker in workers]
    place(workers[0], make_clips(tmp_path, 16, "shared"), "/var/tmp/shared")

    report = end_batch(begin_batch(workers[0], "/var/tmp/shared"))

    assert report["completed"] == 16, report
    done = [chunks_done(worker) - earlier for worker, earlier in zip(workers, before, strict=True)]
    assert sum(done) == 16
    assert min(done) > 0, done


def test_reading_and_writing_go_on_without_one_node_of_the_object_store(cluster: Lab, tmp_path: Path) -> None:
    worker = cluster.host("m4-1")
    place(worker, make_clips(tmp_path, 2, "node"), "/var/tmp/node")
    cluster.host("m2").read("systemctl stop v2t-minio@3")
    try:
        assert words(transcribe(worker, "/var/tmp/node/node-00.wav")) == TEXT
    finally:
        cluster.host("m2").read("systemctl start v2t-minio@3")
    time.sleep(_PEERS_LOOK_SECONDS)
    assert words(transcribe(worker, "/var/tmp/node/node-01.wav")) == TEXT


def test_a_batch_finishes_although_a_worker_loses_its_power(cluster: Lab, tmp_path: Path) -> None:
    lost, kept = cluster.host("m4-1"), cluster.host("m4-2")
    place(kept, make_clips(tmp_path, 24, "power"), "/var/tmp/power")
    before = chunks_done(lost)
    batch = begin_batch(kept, "/var/tmp/power")
    wait_for(lambda: chunks_done(lost) > before + 1, "m4-1 works on the batch", 120)

    lost.kill()
    try:
        report = end_batch(batch)
    finally:
        lost.start()

    assert report["completed"] == 24, report
    wait_healthy(lost)


def test_everything_returns_by_itself_after_the_control_host_was_rebooted(cluster: Lab, tmp_path: Path) -> None:
    control, worker = cluster.host("m2"), cluster.host("m4-1")
    place(worker, make_clips(tmp_path, 1, "reboot"), "/var/tmp/reboot")

    control.poweroff()
    control.start()

    wait_healthy(worker)
    assert words(transcribe(worker, "/var/tmp/reboot/reboot-00.wav")) == TEXT
