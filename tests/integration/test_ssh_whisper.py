"""The provider of Whisper over SSH against a real sshd and the real whisper-cli."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.kennedy import SPEECH_SECONDS, assert_kennedy_is_heard
from support.processes import processes_about, until
from support.recordings import SAMPLE_RATE, read_wav, tile, write_wav
from support.ssh_server import SshServer, serve_ssh, settings_for
from support.whisper_build import built_program

from v2t.config.ssh_whisper import SshWhisperSettings
from v2t.domain.errors import ConfigurationError, EngineCrashed, EngineEmptyResult
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult, OnProgress
from v2t.providers.ssh_whisper import SshWhisper
from v2t.weights.store import ModelStore

pytestmark = pytest.mark.servers

LONG_SECONDS = 90.0
TINY = TranscribeOptions(model="tiny.en", language="en")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with serve_ssh(tmp_path_factory.mktemp("ssh") / "server") as server:
        yield server


@pytest.fixture(scope="module")
def model(models_folder: Path) -> str:
    """The setting that finds the models of this run."""
    store = ModelStore(models_folder)
    paths = {name: store.ensure(name, "ggml") for name in ("tiny.en", "base")}
    found = str(paths["base"]).replace("base", "{name}")
    assert {name: Path(found.replace("{name}", name)) for name in paths} == paths
    return found


Open = Callable[..., SshWhisper]


@pytest.fixture
async def provider_for(server: SshServer, model: str, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the provider with its default command; at the end nothing of it may be left on the host."""
    program = str(built_program("whisper-cli"))
    command = (program, *SshWhisperSettings().command[1:])
    opened: list[SshWhisper] = []

    def open_one(**changes: Any) -> SshWhisper:
        values = {"command": command, "model_path": model, "threads": 2, **changes}
        opened.append(SshWhisper(settings_for(server, tmp_path, **values)))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()
    assert folders(tmp_path) == []
    assert processes_about(str(tmp_path)) == {}


def folders(work: Path) -> list[Path]:
    """The private folders on the host."""
    return list(work.glob("v2t-*"))


async def hear(
    provider: SshWhisper,
    audio: Path,
    options: TranscribeOptions = TINY,
    seconds: float = SPEECH_SECONDS,
    on_progress: OnProgress = lambda _: None,
) -> EngineResult:
    return await provider.transcribe(audio, Chunk(0, "0.wav", (Piece(0.0, seconds),)), options, on_progress)


async def begin(provider: SshWhisper, samples: Path, folder: Path) -> tuple[asyncio.Task[EngineResult], int]:
    """Start long work, and return once it shows progress: the task, and the process of the command."""
    recording = write_wav(folder / "long.wav", tile([read_wav(samples / "jfk.wav")], LONG_SECONDS))
    begun = asyncio.Event()
    task = asyncio.create_task(hear(provider, recording, seconds=LONG_SECONDS, on_progress=lambda _: begun.set()))
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert not task.done(), "the recording is too short to be interrupted"
    program = str(built_program("whisper-cli"))
    (pid,) = (pid for pid, line in processes_about(str(folder)).items() if line.startswith(program))
    return task, pid


async def test_it_hears_what_was_said_and_when(provider_for: Open, samples: Path) -> None:
    progress: list[float] = []
    result = await hear(provider_for(), samples / "jfk.wav", on_progress=progress.append)
    assert_kennedy_is_heard(result)
    assert progress == sorted(progress)
    assert 0.8 < progress[-1] <= 1


async def test_the_language_is_detected_or_taken_as_told(provider_for: Open, samples: Path) -> None:
    provider = provider_for()
    detected = await hear(provider, samples / "jfk.wav", TranscribeOptions(model="base"))
    assert detected.language == "en"
    assert 0.8 < detected.language_probability < 1
    english = await hear(provider, samples / "jfk.wav", TranscribeOptions(model="tiny.en"))
    assert (english.language, english.language_probability) == ("en", 1.0)


async def test_a_prompt_and_a_translation_are_taken(provider_for: Open, samples: Path) -> None:
    options = TranscribeOptions(model="base", language="en", translate=True, prompt='A speech; it\'s "famous", $HOME.')
    assert (await hear(provider_for(), samples / "jfk.wav", options)).segments


async def test_silence_taken_for_speech_is_a_failure(provider_for: Open, tmp_path: Path) -> None:
    audio = write_wav(tmp_path / "silence.wav", np.zeros(4 * SAMPLE_RATE, np.int16))
    with pytest.raises(EngineEmptyResult):
        await hear(provider_for(), audio, seconds=4.0)


async def test_cancelling_ends_the_command_within_2_seconds(provider_for: Open, samples: Path, tmp_path: Path) -> None:
    task, pid = await begin(provider_for(), samples, tmp_path)
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert folders(tmp_path) == []
    await until(lambda: pid not in processes_about(str(tmp_path)), "the command is gone", 1.0)
    assert time.monotonic() - begun < 2


async def test_a_command_that_is_killed_costs_that_chunk_only(
    provider_for: Open, samples: Path, tmp_path: Path
) -> None:
    provider = provider_for()
    task, pid = await begin(provider, samples, tmp_path)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineCrashed, match="signal 9"):
        await task
    assert folders(tmp_path) == []
    assert (await hear(provider, samples / "jfk.wav")).segments


async def test_a_model_that_is_not_there_is_named(provider_for: Open, samples: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no model .*/none-large\.bin"):
        await hear(
            provider_for(model_path="/var/none-{name}.bin"), samples / "jfk.wav", TranscribeOptions(model="large")
        )


async def test_the_examination_of_a_host_that_works(provider_for: Open, server: SshServer) -> None:
    steps = [step async for step in provider_for().examine(server.address)]
    for step in steps:
        print(f"{step.name:9} {'ok' if step.ok else 'FAILED':7} {step.seconds:6.3f} s  {step.detail}")
    assert all(step.ok for step in steps)
    assert steps[-1].name == "sample"
