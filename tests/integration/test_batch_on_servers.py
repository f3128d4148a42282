"""`v2t batch` and `v2t watch` on a cluster of real servers, with recordings from folders and from the store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio
from support.command import Command, finish, interrupt
from support.recordings import SAMPLE_RATE, decode, write_wav
from support.servers import running_servers
from support.workers import WorkerProcess, running_workers

from v2t import wiring
from v2t.config import load_settings
from v2t.storage.setup import prepare_storage

pytestmark = pytest.mark.servers

MODEL = "tiny.en"
BUCKET = "v2t-audio"


@dataclass
class Cluster:
    command: Command
    client: Minio


@pytest.fixture(scope="module")
def cluster(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("batches")
    with running_servers() as servers, pytest.MonkeyPatch.context() as patch:
        environment = {
            **servers.environment,
            "V2T_MODELS__DEFAULT": MODEL,
            "V2T_ENGINE__SLOTS": "1",
            "V2T_BATCH__SETTLE_SECONDS": "0.3",
            "V2T_CACHE__FOLDER": str(folder / "cache"),
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings()
        prepare_storage(wiring.store_account(settings), wiring.buckets(settings))
        worker = WorkerProcess("m4-1", folder / "m4-1", {**environment, "V2T_MODELS__FOLDER": str(models_folder)})
        layout = servers.layout
        client = Minio(layout.minio_endpoints[0], layout.access_key, layout.secret_key, secure=False)
        with running_workers(worker):
            yield Cluster(Command(folder, models_folder, environment), client)


def make_recordings(samples: Path, folder: Path, *lengths: float) -> Path:
    folder.mkdir(parents=True)
    speech = decode(samples / "austen.flac")
    for seconds in lengths:
        write_wav(folder / f"{seconds}.wav", speech[: round(seconds * SAMPLE_RATE)])
    return folder


def test_a_folder(cluster: Cluster, samples: Path, tmp_path: Path) -> None:
    folder = make_recordings(samples, tmp_path / "in", 4.0, 5.0, 6.0)
    (folder / "bad.mp3").write_text("no music")
    outcome = cluster.command.run("batch", folder, "-o", tmp_path / "out", "--json", seconds=120)
    data = outcome.json["data"]
    assert (data["completed"], data["failed"], outcome.exit_code) == (3, 1, 1), outcome.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"4.0.txt", "5.0.txt", "6.0.txt"}
    found = cluster.command.run("jobs", "list", "--batch", data["batch_id"], "--state", "completed", "--json")
    assert {job["name"] for job in found.json["data"]["jobs"]} == {"4.0.wav", "5.0.wav", "6.0.wav"}


def test_a_prefix_of_the_store(cluster: Cluster, samples: Path, tmp_path: Path) -> None:
    folder = make_recordings(samples, tmp_path / "in", 7.0, 7.5)
    cluster.client.fput_object(BUCKET, "incoming/ada/a b.wav", str(folder / "7.0.wav"))
    cluster.client.fput_object(BUCKET, "incoming/ada/deep/c.wav", str(folder / "7.5.wav"))
    cluster.client.fput_object(BUCKET, "incoming/ada/notes.txt", str(folder / "7.5.wav"))
    wanted = ("batch", f"s3://{BUCKET}/incoming/ada/", "-o", tmp_path / "out")
    outcome = cluster.command.run(*wanted, seconds=120)
    assert outcome.exit_code == 0, outcome.stdout + outcome.stderr
    assert "1 other file ignored" in outcome.stderr
    assert (tmp_path / "out" / "a b.txt").read_text()
    assert (tmp_path / "out" / "deep" / "c.txt").read_text()


def test_a_prefix_of_the_store_is_watched(cluster: Cluster, samples: Path, tmp_path: Path) -> None:
    folder = make_recordings(samples, tmp_path / "in", 8.0)
    cluster.client.fput_object(BUCKET, "incoming/bob/x.wav", str(folder / "8.0.wav"))
    wanted = ("watch", f"s3://{BUCKET}/incoming/bob/", "-o", tmp_path / "out", "--once")
    outcome = cluster.command.run(*wanted, seconds=120)
    assert outcome.exit_code == 0, outcome.stdout + outcome.stderr
    assert (tmp_path / "out" / "x.txt").read_text()


def test_a_batch_goes_on_without_the_command(cluster: Cluster, samples: Path, tmp_path: Path) -> None:
    folder = make_recordings(samples, tmp_path / "in", 9.0, 10.0, 11.0, 12.0)
    process = cluster.command.start("batch", folder)
    assert process.stderr
    for line in process.stderr:
        if "of different content" in line:
            break
    batch = line.split()[2].rstrip(":")
    interrupt(process)
    outcome = finish(process)
    assert outcome.exit_code == 130
    assert f"v2t batches watch {batch}" in outcome.stderr
    shutil.rmtree(folder)
    watched = cluster.command.run("batches", "watch", batch, seconds=120)
    assert watched.exit_code == 0, watched.stdout + watched.stderr
    assert "4 files: 4 completed, 0 not" in watched.stdout
