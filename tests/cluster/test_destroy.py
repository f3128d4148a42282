"""The end of a cluster: the data stay, and a new deployment finds them; all goes; and a backup brings it back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from support.backups import make_backup, restore_backup
from support.cleanliness import traces
from support.deployed import SAMPLE, jobs_of, place, transcribe, wait_healthy
from support.lab import Lab
from support.operator import Operator

pytestmark = pytest.mark.cluster

_OF_DATA = ("account v2t-", "group v2t-", "folder /var/lib/v2t")


@dataclass(frozen=True)
class Saved:
    """A backup on the operator's machine, and what the cluster held then."""

    name: str
    folder: Path
    jobs: list[str]
    text: str


@pytest.fixture(scope="module")
def saved(cluster: Lab, operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    host, folder = cluster.host("m4-1"), tmp_path_factory.mktemp("saved")
    place(host, [SAMPLE], "/var/tmp/kept")
    text = transcribe(host, "/var/tmp/kept/jfk.wav")
    jobs = jobs_of(host)
    assert jobs
    return Saved(make_backup(operator, "--to", str(folder)), folder, jobs, text)


def test_a_cluster_that_was_not_named_is_not_destroyed(cluster: Lab, operator: Operator) -> None:
    assert operator.on_inventory("destroy")["exit_code"] == 2
    assert operator.on_inventory("destroy", "--yes-destroy", "another")["exit_code"] == 2
    assert cluster.host("m2").read("systemctl is-active v2t-temporal") == "active"


def test_a_destroyed_cluster_leaves_only_its_data_and_comes_back_with_them(
    cluster: Lab, operator: Operator, saved: Saved
) -> None:
    host = cluster.host("m4-1")

    said = operator.on_inventory("destroy", "--yes-destroy", "v2t")
    assert said["exit_code"] == 0, said["errors"]
    assert "/var/lib/v2t/minio" in said["data"]["kept"]["m2"]
    for name in operator.hosts():
        assert [trace for trace in traces(cluster.host(name)) if not trace.startswith(_OF_DATA)] == []
    assert traces(host) == []

    operator.deploy()
    assert jobs_of(host) == saved.jobs
    assert transcribe(host, "/var/tmp/kept/jfk.wav") == saved.text


def test_destroyed_with_its_data_nothing_is_left_anywhere(cluster: Lab, operator: Operator) -> None:
    said = operator.on_inventory("destroy", "--delete-data", "--yes-destroy", "v2t")

    assert said["exit_code"] == 0, said["errors"]
    for name in operator.hosts():
        assert traces(cluster.host(name)) == []


def test_a_backup_brings_the_old_transcripts_into_a_new_cluster(cluster: Lab, operator: Operator, saved: Saved) -> None:
    host = cluster.host("m4-1")
    operator.deploy()
    assert jobs_of(host) == []

    restore_backup(operator, saved.name, "--from", str(saved.folder))

    assert jobs_of(host) == saved.jobs
    wait_healthy(host)
    place(host, [SAMPLE], "/var/tmp/kept")
    assert transcribe(host, "/var/tmp/kept/jfk.wav") == saved.text
