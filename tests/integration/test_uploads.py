"""Recordings dropped into the real object store become transcripts, by its notifications and the real gateway."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio, MinioAdmin
from minio.credentials.providers import StaticProvider
from support.command import Command
from support.recordings import SAMPLE_RATE, decode, write_wav
from support.servers import Servers, running_servers
from support.workers import WorkerProcess, running_workers

from v2t import wiring
from v2t.config import Settings, load_settings
from v2t.domain.jobs import JobState
from v2t.domain.ports import JobFilter
from v2t.domain.records import JobRecord
from v2t.process.ports import free_port
from v2t.storage.setup import prepare_storage
from v2t.submission import stored_transcript

pytestmark = pytest.mark.servers

MODEL = "tiny.en"
TOKEN = "a-token-of-this-test"  # noqa: S105 - of this test only
BUCKET = "v2t-audio"
SECONDS = 90.0


@dataclass
class Cluster:
    """A cluster whose store tells a gateway of what is dropped."""

    servers: Servers
    command: Command
    settings: Settings
    records: wiring.LazyJobRecords
    client: Minio

    def start_gateway(self) -> subprocess.Popen[str]:
        return start_gateway(self.command)

    def drop(self, key: str, source: Path) -> None:
        self.client.fput_object(BUCKET, key, str(source))

    def jobs(self, user: str) -> list[JobRecord]:
        return list(self.records.find(JobFilter(user=user)))

    def incoming(self, user: str) -> list[str]:
        return [str(item.object_name) for item in self.client.list_objects(BUCKET, f"incoming/{user}/", recursive=True)]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
            time.sleep(0.2)

    def wait_for_transcript(self, user: str) -> JobRecord:
        self.wait(lambda: self.jobs(user) and not self.incoming(user), f"a job of {user}")
        (record,) = self.jobs(user)
        self.wait(lambda: self.jobs(user)[0].state != JobState.RUNNING, "it ends")
        (record,) = self.jobs(user)
        assert record.state == JobState.COMPLETED, record
        return record


@pytest.fixture(scope="module")
def cluster(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("uploads")
    port = free_port()
    with running_servers() as servers, pytest.MonkeyPatch.context() as patch:
        environment = {
            **servers.environment,
            "V2T_MODELS__DEFAULT": MODEL,
            "V2T_ENGINE__SLOTS": "1",
            "V2T_UPLOADS__TOKEN": TOKEN,
            "V2T_UPLOADS__LISTEN_PORT": str(port),
            "V2T_CACHE__FOLDER": str(folder / "cache"),
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings()
        command = Command(folder, models_folder, environment)
        gateway = start_gateway(command)  # the store takes no address at which nobody answers
        configure_webhook(servers, port, folder / "queue")
        prepare_storage(
            wiring.store_account(settings), wiring.buckets(settings), notify_target="arn:minio:sqs::v2t:webhook"
        )
        end(gateway)
        records = wiring.open_records(settings)
        worker = WorkerProcess("m4-1", folder / "m4-1", {**environment, "V2T_MODELS__FOLDER": str(models_folder)})
        layout = servers.layout
        client = Minio(layout.minio_endpoints[0], layout.access_key, layout.secret_key, secure=False)
        with running_workers(worker):
            yield Cluster(servers, command, settings, records, client)
        records.close()


def start_gateway(command: Command) -> subprocess.Popen[str]:
    gateway = command.start("--verbose", "gateway", "run")
    assert gateway.stderr
    for line in gateway.stderr:
        if "listens" in line:
            return gateway
    raise AssertionError("the gateway has ended")


def shortened(samples: Path, target: Path, seconds: float) -> None:
    """A recording that no other test has."""
    write_wav(target, decode(samples / "jfk.wav")[: round(seconds * SAMPLE_RATE)])


def configure_webhook(servers: Servers, port: int, queue: Path) -> None:
    layout = servers.layout
    admin = MinioAdmin(
        endpoint=layout.minio_endpoints[0],
        credentials=StaticProvider(layout.access_key, layout.secret_key),
        secure=False,
    )
    values = {
        "enable": "on",
        "endpoint": f"http://127.0.0.1:{port}/uploads",
        "auth_token": TOKEN,
        "queue_dir": str(queue),
    }
    admin.config_set("notify_webhook:v2t", values)
    for node in servers.minio:
        node.stop()
    servers.heal()


@pytest.fixture
def gateway(cluster: Cluster) -> Iterator[subprocess.Popen[str]]:
    gateway = cluster.start_gateway()
    yield gateway
    end(gateway)


def end(gateway: subprocess.Popen[str]) -> None:
    if gateway.poll() is None:
        gateway.terminate()
    stdout, stderr = gateway.communicate(timeout=60)
    assert "Traceback" not in stderr, stderr
    assert TOKEN not in stdout + stderr
    assert gateway.returncode == 0, stderr


def test_a_dropped_recording_becomes_a_transcript(
    cluster: Cluster, gateway: subprocess.Popen[str], samples: Path
) -> None:
    cluster.drop("incoming/ada/two words & more%.wav", samples / "jfk.wav")
    record = cluster.wait_for_transcript("ada")
    assert record.name == "two words & more%.wav"
    assert "country" in stored_transcript(wiring.open_bucket_store(cluster.settings), record.job_id).text


def test_the_same_content_under_two_names_is_transcribed_once(
    cluster: Cluster, gateway: subprocess.Popen[str], samples: Path, tmp_path: Path
) -> None:
    shortened(samples, tmp_path / "twin.wav", 9.0)
    cluster.drop("incoming/bob/1.wav", tmp_path / "twin.wav")
    cluster.drop("incoming/bob/2.wav", tmp_path / "twin.wav")
    record = cluster.wait_for_transcript("bob")
    assert record.name in {"1.wav", "2.wav"}


def test_what_is_dropped_while_the_gateway_is_down_is_told_when_it_is_back(
    cluster: Cluster, samples: Path, tmp_path: Path
) -> None:
    shortened(samples, tmp_path / "late.wav", 8.0)
    cluster.drop("incoming/eve/late.wav", tmp_path / "late.wav")
    assert cluster.jobs("eve") == []
    gateway = cluster.start_gateway()
    cluster.wait_for_transcript("eve")
    end(gateway)


def test_what_is_dropped_while_temporal_is_down_is_taken_when_it_is_back(
    cluster: Cluster, gateway: subprocess.Popen[str], samples: Path, tmp_path: Path
) -> None:
    shortened(samples, tmp_path / "waiting.wav", 10.0)
    cluster.servers.temporal.kill()
    cluster.drop("incoming/fay/waiting.wav", tmp_path / "waiting.wav")
    time.sleep(2)  # for the first try to fail
    assert cluster.jobs("fay") == []
    cluster.servers.temporal.start()
    cluster.wait_for_transcript("fay")
