"""The whole pipeline on real servers: recordings go in by the real command, and what came out is compared."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from support.command import Command, Outcome, finish
from support.recordings import SAMPLE_RATE, decode, read_wav, tile, write_wav
from support.servers import Servers
from support.workers import WorkerProcess, running_workers
from v2t import wiring
from v2t.client import Client
from v2t.config import Settings, load_settings
from v2t.domain.jobs import AUTO, JobState, TranscribeOptions, TranscribeRequest, transcript_key
from v2t.domain.ports import JobFilter, ObjectStore
from v2t.domain.transcript import Transcript, to_document
from v2t.submission import identify, stored_transcript

MODEL = "tiny.en"
_PATIENCE_SECONDS = 240.0
_LONG_SECONDS = 60.0
_COMPARED = ("segments", "dropped", "language", "duration_seconds", "provider")


class Pipeline:
    """Servers, recordings, and the answer that they must always give.

    Args:
        servers: started, empty.
        folder: for everything else.
        models: the run's model files.
        samples: recordings to make others of.
    """

    def __init__(self, servers: Servers, folder: Path, models: Path, samples: Path) -> None:
        self.servers = servers
        self.folder = folder
        self.environment: dict[str, str] = {
            **servers.environment,
            "V2T_MODELS__FOLDER": str(models),
            "V2T_MODELS__DEFAULT": MODEL,
            "V2T_AUDIO__CHUNK_SECONDS": "12",
            "V2T_ENGINE__SLOTS": "1",
        }
        self.command = Command(folder, models, self.environment)
        self.recordings = _make_recordings(folder / "recordings", samples)
        self.undisturbed: dict[str, Any] = {}
        self.chunks_of_an_undisturbed_run = 0

    def prepare(self) -> None:
        """Set the servers up as an operator does, and transcribe everything once without any trouble."""
        assert self.command.run("models", "pull", MODEL).exit_code == 0
        prepared = self.command.run("cluster", "prepare")
        assert prepared.exit_code == 0, prepared.stderr
        with running_workers(self.worker("calm")):
            outcome = finish(self.batch(), _PATIENCE_SECONDS)
        assert outcome.exit_code == 0, outcome.stderr
        self.undisturbed = self.results()
        self.chunks_of_an_undisturbed_run = self.attempts_made()
        assert all(document["segments"] for document in self.undisturbed.values())

    def close(self) -> None:
        """Let go of the database."""
        self.records.close()

    @cached_property
    def settings(self) -> Settings:
        """As the commands and workers see them."""
        with _environment(self.environment):
            return load_settings()

    @cached_property
    def store(self) -> ObjectStore:
        """The object store, without any cache."""
        return wiring.open_bucket_store(self.settings)

    @cached_property
    def records(self) -> wiring.LazyJobRecords:
        return wiring.open_records(self.settings)

    @cached_property
    def requests(self) -> dict[str, TranscribeRequest]:
        """Name → the request that the command makes of the recording."""
        options = TranscribeOptions(AUTO, MODEL, "en")
        return {path.name: identify(path, options, "") for path in self.recordings}

    def worker(self, host: str, extra: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()) -> WorkerProcess:
        """A worker on a machine of its own, which has not been started."""
        return WorkerProcess(host, self.folder / host, {**self.environment, **(extra or {})}, prefix)

    def batch(self, *extra: str) -> subprocess.Popen[str]:
        """Start `v2t batch` over all recordings."""
        return self.command.start("batch", self.folder / "recordings", "--model", MODEL, *extra)

    def finish(self, process: subprocess.Popen[str]) -> Outcome:
        return finish(process, _PATIENCE_SECONDS)

    def results(self) -> dict[str, Any]:
        """What is stored for each recording, without what may differ from run to run."""
        return {name: _compared(stored_transcript(self.store, r.job_id)) for name, r in self.requests.items()}

    def forget_everything(self) -> None:
        """Make the recordings new again: no transcript, no chunk, no copy in Redis, no record."""
        for request in self.requests.values():
            self.store.delete_prefix(f"{request.job_id}/")
        self.records.delete([request.job_id for request in self.requests.values()])
        self.flush_redis()

    def flush_redis(self) -> None:
        import redis

        with redis.Redis.from_url(self.servers.layout.redis_url) as connection:
            connection.flushall()

    def assert_one_result_each(self) -> None:
        """Every recording has one transcript, equal to the undisturbed one, and one record, which says completed."""
        assert self.results() == self.undisturbed
        for request in self.requests.values():
            kept = self.store.list_keys(f"{request.job_id}/")
            assert kept == [transcript_key(request.job_id)]
            found = [r for r in self.records.find(JobFilter(text=request.job_id)) if r.job_id == request.job_id]
            assert [record.state for record in found] == [JobState.COMPLETED]

    def history(self, job_id: str) -> list[dict[str, Any]]:
        """The events of the newest run of a workflow, as JSON."""

        async def fetch() -> list[dict[str, Any]]:
            client = await self.connect()
            history = await client.temporal.get_workflow_handle(job_id).fetch_history()
            found: list[dict[str, Any]] = json.loads(history.to_json())["events"]
            return found

        return asyncio.run(fetch())

    async def connect(self) -> Client:
        return await wiring.connect_client(self.settings)

    def attempts_made(self) -> int:
        """How many tries of a provider the records hold for the recordings."""
        return sum(len(self.records.attempts(request.job_id)) for request in self.requests.values())

    def is_uploading(self, recording: Path) -> bool:
        """Whether parts of a recording have arrived, and not yet all."""
        from minio import Minio

        layout = self.servers.layout
        client = Minio(self.settings.storage.endpoint, layout.access_key, layout.secret_key, secure=False)
        key = identify(recording, TranscribeOptions(), "").audio.key
        return bool(client._list_multipart_uploads(self.settings.storage.audio_bucket, prefix=key).uploads)

    def finished_chunks(self) -> int:
        """How many chunk results and transcripts are stored now."""
        return sum(
            key.endswith(".json")
            for request in self.requests.values()
            for key in self.store.list_keys(f"{request.job_id}/")
        )


def _make_recordings(folder: Path, samples: Path) -> tuple[Path, ...]:
    """Two long recordings of several chunks each, and short ones."""
    folder.mkdir(parents=True)
    jfk, austen = read_wav(samples / "jfk.wav"), decode(samples / "austen.flac")
    short = [austen[start : start + 8 * SAMPLE_RATE] for start in range(0, 6 * SAMPLE_RATE, SAMPLE_RATE)]
    return (
        write_wav(folder / "long-1.wav", tile([austen, jfk], _LONG_SECONDS)),
        write_wav(folder / "long-2.wav", tile([jfk, austen], _LONG_SECONDS)),
        *(write_wav(folder / f"short-{number}.wav", samples) for number, samples in enumerate(short)),
    )


def _compared(transcript: Transcript) -> dict[str, Any]:
    document = to_document(transcript)
    return {name: document[name] for name in _COMPARED}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield
