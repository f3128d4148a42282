"""`v2t worker run` as real processes on the real servers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.command import Command, Outcome, finish
from support.processes import is_alive
from support.recordings import SAMPLE_RATE, decode, tile, write_wav
from support.servers import Servers
from support.workers import WorkerProcess, running_workers
from temporalio.client import Client

from v2t.process.ports import free_port

MODEL = "tiny.en"
SECONDS = 60.0
TAKEN_OVER_SECONDS = 20.0


class Cluster:
    """The servers, made ready, and what uses them from machines that are folders."""

    def __init__(self, servers: Servers, folder: Path, models: Path, samples: Path) -> None:
        self.folder = folder
        self.environment = {
            **servers.environment,
            "V2T_DATABASE__URL": servers.new_database(),
            "V2T_TEMPORAL__NAMESPACE": f"workers-{uuid.uuid4().hex}",  # else other tests' workers share its queues
            "V2T_MODELS__FOLDER": str(models),
            "V2T_MODELS__DEFAULT": MODEL,
            "V2T_AUDIO__CHUNK_SECONDS": "12",
            "V2T_ENGINE__SLOTS": "1",
        }
        self.command = Command(folder, models, self.environment)
        self._address = servers.layout.temporal_address
        self._samples = samples

    def prepare(self) -> None:
        for words in (("models", "pull", MODEL), ("cluster", "prepare")):
            outcome = self.command.run(*words)
            assert outcome.exit_code == 0, outcome.stderr

    def worker(self, **settings: str) -> WorkerProcess:
        name = f"host-{uuid.uuid4().hex[:8]}"
        extra = {f"V2T_WORKER__{key.upper()}": value for key, value in settings.items()}
        return WorkerProcess(name, self.folder / name, {**self.environment, **extra})

    def recording(self, seconds: float) -> Path:
        """Speech that nobody has transcribed yet."""
        path = self.folder / f"{uuid.uuid4().hex}.wav"
        speech = tile([decode(self._samples / "austen.flac")], seconds)
        return write_wav(path, np.append(speech, np.random.default_rng().integers(-9, 9, SAMPLE_RATE, np.int16)))

    def transcribe(self, recording: Path) -> subprocess.Popen[str]:
        return self.command.start("transcribe", recording, "--model", MODEL, "--language", "en", "--format", "json")

    def second_attempts(self, since: float) -> dict[float, str]:
        """When the repeated steps of the jobs that began since then were taken up, and what had gone wrong before."""
        return asyncio.run(self._second_attempts(since))

    async def _second_attempts(self, since: float) -> dict[float, str]:
        client = await Client.connect(self._address, namespace=self.environment["V2T_TEMPORAL__NAMESPACE"])
        found = {}
        async for execution in client.list_workflows("WorkflowType = 'TranscribeFile'"):
            if execution.start_time.timestamp() >= since:
                history = await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()
                for event in history.events:
                    started = event.activity_task_started_event_attributes
                    if started.attempt > 1:
                        failure = started.last_failure
                        kind = failure.application_failure_info.type or failure.WhichOneof("failure_info")
                        found[event.event_time.ToMicroseconds() / 1e6] = kind or ""
        return found


@pytest.fixture(scope="module")
def cluster(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory, models_folder: Path, samples: Path
) -> Iterator[Cluster]:
    cluster = Cluster(servers, tmp_path_factory.mktemp("workers"), models_folder, samples)
    cluster.prepare()
    yield cluster
    cluster.command.close()


def words(outcome: Outcome) -> list[str]:
    assert outcome.exit_code == 0, outcome.stderr
    return " ".join(segment["text"] for segment in outcome.json["segments"]).split()


@pytest.mark.servers
class TestOnServers:
    def test_the_health_pages_tell_what_the_worker_is_and_does(self, cluster: Cluster) -> None:
        worker = cluster.worker(bookkeeping_slots="3", build_id="build-7")
        with running_workers(worker):
            before = worker.health()
            assert words(finish(cluster.transcribe(cluster.recording(10))))
            after, metrics = worker.health(), worker.answer("/metrics")[1]
        assert (before["status"], before["host"], before["pid"]) == ("ready", worker.host, worker.pid)
        assert (before["kind"], before["build_id"]) == ("cpu", "build-7")
        assert before["queues"] == ["v2t", f"v2t-host-{worker.host}", "v2t-cpu"]
        assert before["slots"] == {"engine": {"total": 1, "used": 0}, "bookkeeping": {"total": 3, "used": 0}}
        assert before["engine"]["used"] == "cpu"
        assert before["last_task"] is None
        assert (after["last_task"]["what"], after["last_task"]["outcome"]) == ("transcribe_small", "ok")
        assert after["tasks"]["ok"] == 1
        assert after["cache"]["disk_bytes"] > 0
        assert 'v2t_worker_tasks_total{outcome="ok"' in metrics
        assert "temporal_worker_task_slots_available" in metrics
        assert 'v2t_transcriptions_total{outcome="ok",provider="faster_whisper"} 1.0' in metrics

    def test_a_worker_that_drains_finishes_what_it_computes_and_takes_nothing_new(self, cluster: Cluster) -> None:
        leaving = cluster.worker()
        with running_workers(leaving):
            job = cluster.transcribe(cluster.recording(60))
            leaving.wait_until(leaving.engine_slots_used, "it computes")
            os.kill(leaving.pid, signal.SIGTERM)
            assert leaving.process
            assert leaving.process.wait(SECONDS) == 0
            with running_workers(cluster.worker()):
                assert words(finish(job, 120))

    def test_a_worker_without_time_to_drain_gives_its_work_back_at_once(self, cluster: Cluster) -> None:
        leaving, staying = cluster.worker(drain_seconds="0"), cluster.worker()
        begun = time.time()
        with running_workers(leaving, staying):
            job = cluster.transcribe(cluster.recording(90))
            leaving.hold_a_chunk()
            assert leaving.stop() == 0
            assert words(finish(job, 120))
        assert set(cluster.second_attempts(begun).values()) == {"GivenBack"}, "it was found lost, or nothing was given"

    def test_the_work_of_a_killed_worker_is_taken_over_within_twenty_seconds(self, cluster: Cluster) -> None:
        recording = cluster.recording(90)
        victim, survivor = cluster.worker(), cluster.worker()
        begun = time.time()
        with running_workers(victim, survivor):
            job = cluster.transcribe(recording)
            victim.hold_a_chunk()
            victim.kill()
            killed_at = time.time()
            heard = words(finish(job, 120))
        taken_over = cluster.second_attempts(begun)
        assert taken_over, "nothing was taken over"
        assert max(taken_over) - killed_at < TAKEN_OVER_SECONDS
        assert len(heard) > 150

    def test_a_second_signal_ends_it_at_once_with_its_children(self, cluster: Cluster) -> None:
        worker = cluster.worker(drain_seconds="300")
        with running_workers(worker, cluster.worker()):
            job = cluster.transcribe(cluster.recording(60))
            worker.wait_until(worker.engine_slots_used, "it computes")
            os.kill(worker.pid, signal.SIGTERM)
            worker.wait_until(lambda: "draining" in worker.answer("/ready")[1], "it drains")
            os.kill(worker.pid, signal.SIGTERM)
            assert worker.process
            assert worker.process.wait(10) == 130
            assert words(finish(job, 120))

    def test_systemd_hears_of_its_life(self, cluster: Cluster, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "notify"))
            systemd.settimeout(SECONDS)
            worker = cluster.worker()
            worker._environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
            heard: list[str] = []
            listening = threading.Thread(target=_listen, args=(systemd, heard))
            listening.start()
            with running_workers(worker):
                worker.wait_until(lambda: "WATCHDOG=1" in heard[-3:], "the watchdog is fed")
                assert worker.stop() == 0
                listening.join(SECONDS)
        assert sum(word.startswith("READY=1\nSTATUS=polling") for word in heard) == 1
        assert heard[-1].startswith("STOPPING=1\nSTATUS=draining")

    def test_the_scaler_starts_workers_for_a_backlog_and_ends_them_with_itself(self, cluster: Cluster) -> None:
        job = cluster.transcribe(cluster.recording(120))
        scaler = cluster.command.start("cluster", "scale", "--max", "2", "--every", "0.5")
        try:
            assert words(finish(job, 180))
        finally:
            children = _workers_of(scaler)
            os.kill(scaler.pid, signal.SIGTERM)
            outcome = finish(scaler, 90)
        assert outcome.exit_code == 0, outcome.stderr
        assert "worker-1 starts" in outcome.stderr
        assert children
        assert not any(is_alive(pid) for pid in children)

    def test_one_look_of_the_scaler_changes_nothing(self, cluster: Cluster) -> None:
        outcome = cluster.command.run("cluster", "scale", "--once", "--json")
        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.json["data"]["wanted"] == 1


def _listen(systemd: socket.socket, heard: list[str]) -> None:
    """As systemd does, which reads at once: the queue of such a socket is short."""
    while not (heard and heard[-1].startswith("STOPPING=1")):
        heard.append(systemd.recv(4096).decode())


def _workers_of(scaler: subprocess.Popen[str]) -> list[int]:
    from support.processes import children_of

    return [pid for pid, command in children_of(scaler.pid).items() if "worker run" in command]


def refuse(folder: Path, environment: dict[str, str]) -> Outcome:
    return Command(folder, folder / "models", environment).run("worker", "run")


def test_without_a_cluster_it_names_the_embedded_one(tmp_path: Path) -> None:
    outcome = refuse(tmp_path, {})
    assert outcome.exit_code == 3
    assert "temporal.address is not set" in outcome.complaint
    assert "`v2t up`" in outcome.complaint


def test_a_taken_health_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        environment = {
            "V2T_TEMPORAL__ADDRESS": f"127.0.0.1:{free_port()}",
            "V2T_WORKER__HEALTH_ADDRESS": "127.0.0.1",
            "V2T_WORKER__HEALTH_PORT": str(other.getsockname()[1]),
        }
        outcome = refuse(tmp_path, environment)
    assert outcome.exit_code == 5
    assert "worker.health_port" in outcome.complaint


def test_an_acceleration_that_is_not_there_is_refused(tmp_path: Path) -> None:
    environment = {"V2T_TEMPORAL__ADDRESS": "127.0.0.1:1", "V2T_WORKER__ACCELERATION": "metal"}
    outcome = refuse(tmp_path, environment)
    assert outcome.exit_code == 3
    assert "worker.acceleration is metal" in outcome.complaint


def test_a_program_of_whisper_cpp_that_is_not_there_is_refused_with_its_setting(tmp_path: Path) -> None:
    environment = {"V2T_TEMPORAL__ADDRESS": "127.0.0.1:1", "V2T_ENGINE__WHISPER_CLI": "/none/whisper-cli"}
    outcome = refuse(tmp_path, environment)
    assert outcome.exit_code == 3
    assert "/none/whisper-cli, which engine.whisper_cli names, is not there" in outcome.complaint


def test_it_waits_for_servers_and_says_so_and_ends_when_it_is_told(tmp_path: Path) -> None:
    environment = {
        "V2T_TEMPORAL__ADDRESS": f"127.0.0.1:{free_port()}",
        "V2T_STORAGE__ENDPOINT": f"127.0.0.1:{free_port()}",
        "V2T_STORAGE__SECURE": "false",
    }
    worker = WorkerProcess("waiting", tmp_path, environment)
    worker.start()
    try:
        worker.wait_until(lambda: worker.answer("/ready") == (503, "waiting for Temporal\n"), "it waits for Temporal")
        assert worker.health()["status"] == "waiting for Temporal"
        assert worker.stop() == 0
    finally:
        if worker.process and worker.process.poll() is None:
            worker.kill()
    log = worker.log.read_text()
    assert log.count("waiting for Temporal: Temporal does not answer") == 1
    assert "Traceback" not in log
