"""Jobs on an embedded cluster whose first provider is dead, and when the second one answers them."""

from __future__ import annotations

import logging
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from bench.recording import make_recording
from support.speech_apis import SPOKEN, plain_answer
from support.speech_servers import SpeechServer, Spoken, serve_speech

from v2t.config import load_settings
from v2t.domain.jobs import AUTO, TranscribeOptions, TranscribeResult
from v2t.process.ports import LOOPBACK, free_port
from v2t.standalone import Cluster, open_cluster
from v2t.submission import identify

_AUDIO_SECONDS = 10.0
_TURNS = 3


@dataclass(frozen=True)
class Failover:
    """From the submission of a job to the answer's first byte, in seconds: to whom the job went, and why."""

    well: float  # the only one asked, and it is well
    closed: float  # the second, after all tries of the first
    open: float  # the second, as the first is left alone


class Secondary:
    """A server that is well, and the time at which it began to answer last."""

    def __init__(self) -> None:
        self.answered_at = 0.0
        self.server = SpeechServer(self._answer, words=SPOKEN)

    def _answer(self, words: list[Spoken], language: str) -> object:
        self.answered_at = time.monotonic()
        return plain_answer(words, language)


async def seconds_of_failover(folder: Path) -> Failover:
    """Measure on a cluster that knows of no failures yet."""
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)  # that steps fail is what is measured
    secondary = Secondary()
    async with serve_speech(secondary.server) as server:
        os.environ |= {
            "V2T_STANDALONE__FOLDER": str(folder / "data"),
            "V2T_WHISPER_SERVER__URL": f"http://{LOOPBACK}:{free_port()}",
            "V2T_CUSTOM_HTTP__URL": f"{server.address}/asr",
            "V2T_CUSTOM_HTTP__ALLOWED_HOSTS": LOOPBACK,
            "V2T_SELECTION__CHAIN": "whisper_server,custom_http",
            "V2T_SELECTION__DEFAULT_RULES": "false",
        }
        async with open_cluster(load_settings()) as cluster:
            jobs = _Jobs(cluster, folder, secondary)
            await jobs.transcribe("custom_http")  # the decoder starts
            closed = await jobs.seconds(AUTO, failures=1)
            while (await jobs.transcribe(AUTO)).warnings:
                pass  # until the first one is left alone
            turns = [(await jobs.seconds("custom_http"), await jobs.seconds(AUTO)) for _ in range(_TURNS)]
    well, is_open = (statistics.median(seconds) for seconds in zip(*turns, strict=True))
    return Failover(well, closed, is_open)


class _Jobs:
    def __init__(self, cluster: Cluster, folder: Path, secondary: Secondary) -> None:
        self._cluster = cluster
        self._folder = folder
        self._secondary = secondary
        self._made = 0
        self._submitted_at = 0.0

    async def seconds(self, provider: str, failures: int = 0) -> float:
        """How long the secondary's answer for a new recording takes to begin, after so many providers that failed."""
        result = await self.transcribe(provider)
        assert len(result.warnings) == failures, result.warnings
        return self._secondary.answered_at - self._submitted_at

    async def transcribe(self, provider: str) -> TranscribeResult:
        self._made += 1
        path, pause = self._folder / f"{self._made}.wav", self._made / 10
        recording = make_recording(path, _AUDIO_SECONDS, pauses=(pause,))
        request = identify(recording.path, TranscribeOptions(provider=provider, language="en"), "bench")
        self._cluster.store.put_file(request.audio.key, recording.path)
        self._submitted_at = time.monotonic()
        await self._cluster.client.submit(request)
        result = await self._cluster.client.result(request.job_id)
        assert result.provider == "custom_http", result
        return result
