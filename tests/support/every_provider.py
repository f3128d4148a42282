"""Every provider, opened with what it needs: engines of this machine, servers that pretend to hear, a real sshd."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from support.kennedy import SPEECH_SECONDS
from support.processes import children_of, is_alive, processes_about
from support.recordings import read_wav, tile, write_wav
from support.speech_apis import APIS, SPOKEN, Api
from support.speech_servers import SpeechServer, echoes_secrets, hangs, says, serve_speech
from support.ssh_server import SshServer, make_key, settings_for
from support.whisper_build import built_program
from v2t.config.ssh_whisper import SshWhisperSettings
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult, OnProgress, RemoteTranscriber
from v2t.process.pool import ChildPool
from v2t.providers.engines import Engines
from v2t.providers.ssh_whisper import SshWhisper
from v2t.providers.table import LOCAL_PROVIDERS, load_class
from v2t.weights.catalogue import memory_bytes
from v2t.weights.store import ModelStore

OUTSIDE = "whisper_cli"
"""whisper_cpp as a program of its own."""

EVERY_PROVIDER = (*LOCAL_PROVIDERS, OUTSIDE, *(api.name for api in APIS), "ssh_whisper")

_LONG_SECONDS = 90.0


@dataclass(frozen=True)
class Place:
    """What there is around a provider."""

    samples: Path
    models: ModelStore
    work: Path  # a folder for what it makes
    sshd: Callable[[], SshServer]


@dataclass
class Subject:
    """A provider, and how it is brought into situations that differ from one to the other."""

    name: str
    provider: RemoteTranscriber  # an engine of this machine has all that these have, but close
    audio: Path
    unhappy: str  # a setting that may not be zero
    hush: Callable[[], None]  # it is to hear nothing, where it only pretends to hear
    deny_model: Callable[[], None]  # it is to say that there is no such model, where its server does
    long_audio: Callable[[], Path]  # that keeps it busy
    begun: Callable[[list[float]], object]  # whether it works, by the progress it told
    left: Callable[[], object]  # what is left of its calls; nothing, where all have ended
    fail: Callable[[], Awaitable[object]]  # raises the error of something that knows its secret

    async def hear(
        self,
        audio: Path | None = None,
        seconds: float = SPEECH_SECONDS,
        on_progress: OnProgress = lambda _: None,
        **options: Any,
    ) -> EngineResult:
        """What it hears, with the smallest model unless told otherwise."""
        asked = TranscribeOptions(**{"model": "tiny.en", "language": "en", **options})
        chunk = Chunk(0, "0.wav", (Piece(0.0, seconds),))
        return await self.provider.transcribe(audio or self.audio, chunk, asked, on_progress)


def errors_of(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and all that it came from."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if found is not None and found not in seen:
            seen.append(found)
            yield found
            waiting += [found.__cause__, found.__context__]


@asynccontextmanager
async def open_subject(name: str, place: Place) -> AsyncIterator[Subject]:
    """Open a provider of EVERY_PROVIDER; SPEECH_SECRET must be set."""
    if name == "ssh_whisper":
        opened = _over_ssh(place)
    elif name in LOCAL_PROVIDERS or name == OUTSIDE:
        opened = _here(name, place)
    else:
        opened = _at_a_server(next(api for api in APIS if api.name == name), place)
    async with opened as subject:
        yield subject


def nothing() -> None:
    """There is nothing to be done."""


def long_recording(place: Place) -> Path:
    """Speech for a minute and a half."""
    speech = tile([read_wav(place.samples / "jfk.wav")], _LONG_SECONDS)
    return write_wav(place.work / "long.wav", speech)


@asynccontextmanager
async def _here(name: str, place: Place) -> AsyncIterator[Subject]:
    """An engine of this machine, whose children have a secret in their environment."""
    engines = Engines((str(built_program("whisper-cli")),) if name == OUTSIDE else ())
    provider = engines.providers["whisper_cpp" if name == OUTSIDE else name]
    pool = ChildPool(1, environment={"OMP_NUM_THREADS": "1"})
    computing: list[int] = []

    async def locate(model: str, model_format: str) -> Path:
        return await asyncio.to_thread(place.models.ensure, model, model_format)

    def begun(progress: list[float]) -> bool:
        computing[:] = [*pool.pids, *(child for pid in pool.pids for child in children_of(pid))]
        return bool(progress)

    async def fail() -> None:
        broken = place.work / "broken.wav"
        broken.write_bytes(b"RIFF")
        await subject.hear(broken)

    engine = load_class(provider)(pool, locate, memory_bytes, engines=engines)
    subject = Subject(
        name=provider.name,
        provider=engine,
        audio=place.samples / "jfk.wav",
        unhappy="engine.stall_seconds",
        hush=nothing,
        deny_model=nothing,
        long_audio=lambda: long_recording(place),
        begun=begun,
        left=lambda: [pid for pid in computing if is_alive(pid)] + list(place.work.glob("v2t-*")),
        fail=fail,
    )
    yield subject
    await pool.close()


@asynccontextmanager
async def _at_a_server(api: Api, place: Place) -> AsyncIterator[Subject]:
    """A service, in whose place a server speaks its API."""
    server = SpeechServer(api.answer, api.health, list(SPOKEN))

    def refuse(reason: str) -> None:
        server.misbehaviours = [says(404, {"error": {"message": reason}})]

    def keep_waiting() -> Path:
        server.misbehaviours = [hangs]
        server.seen.clear()
        return place.samples / "jfk.wav"

    async def fail() -> None:
        server.misbehaviours = [echoes_secrets]
        await subject.hear()

    async with serve_speech(server):
        provider = api.open(server.address)
        subject = Subject(
            name=api.name,
            provider=provider,
            audio=place.samples / "jfk.wav",
            unhappy=f"{api.name}.timeout_seconds",
            hush=server.words.clear,
            deny_model=lambda: refuse("no such model"),
            long_audio=keep_waiting,
            begun=lambda _: server.seen,
            left=lambda: server.connections - server.closed,
            fail=fail,
        )
        yield subject
        await provider.close()


@asynccontextmanager
async def _over_ssh(place: Place) -> AsyncIterator[Subject]:
    """The real whisper-cli behind a real sshd."""
    program = str(built_program("whisper-cli"))
    found = str(place.models.ensure("tiny.en", "ggml")).replace("tiny.en", "{name}")
    command = (program, *SshWhisperSettings().command[1:])
    values: dict[str, Any] = {"command": command, "model_path": found, "threads": 2}
    server = place.sshd()

    def left() -> list[object]:
        return [*place.work.glob("v2t-*"), *processes_about(str(place.work))]

    async def fail() -> None:
        key = place.work / f"key-{secrets.token_hex(4)}"
        make_key(key, "another passphrase")
        reference = "env:SPEECH_SECRET"  # to a passphrase that does not open it
        section = settings_for(server, place.work, key_file=str(key), key_passphrase=reference)
        locked_out = SshWhisper(section)
        try:
            await locked_out.check()
        finally:
            await locked_out.close()

    provider = SshWhisper(settings_for(server, place.work, **values))
    yield Subject(
        name="ssh_whisper",
        provider=cast("RemoteTranscriber", provider),
        audio=place.samples / "jfk.wav",
        unhappy="ssh_whisper.timeout_seconds",
        hush=nothing,
        deny_model=nothing,
        long_audio=lambda: long_recording(place),
        begun=lambda progress: progress,
        left=left,
        fail=fail,
    )
    await provider.close()
