"""The provider against a real sshd of this account; the whisper command there is a stand-in, real in all but speech."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.processes import processes_about, until
from support.ssh_server import SshServer, serve_ssh, settings_for

from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import (
    ConfigurationError,
    EngineCrashed,
    EngineEmptyResult,
    EngineTimedOut,
    ProviderFailed,
    ProviderRejected,
    ProviderUnreachable,
    V2TError,
)
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult, OnProgress, RemoteTranscriber
from v2t.providers.ssh_whisper import SshWhisper

pytestmark = pytest.mark.servers  # sshd

ENGLISH = TranscribeOptions(model="base", language="en")
CHUNK = Chunk(0, "0.wav", (Piece(0.0, 11.0),))

Open = Callable[..., SshWhisper]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with serve_ssh(tmp_path_factory.mktemp("ssh") / "server") as server:
        yield server


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder on the host, below which nothing may stay."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
async def provider_for(server: SshServer, work: Path) -> AsyncIterator[Open]:
    """Opens the provider; at the end nothing of it may be left on the host."""
    opened: list[SshWhisper] = []

    def open_one(mode: str = "well", **changes: Any) -> SshWhisper:
        opened.append(SshWhisper(settings_for(server, work, mode, **changes)))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()
    assert leftovers(work)[0] == []
    await until(lambda: leftovers(work) == ([], {}), "what was killed is gone", 1.0)


def leftovers(work: Path) -> tuple[list[Path], dict[int, str]]:
    """What is in the host's folder, and what runs there."""
    return list(work.iterdir()) if work.exists() else [], processes_about(str(work))


async def hear(
    provider: RemoteTranscriber,
    audio: Path,
    options: TranscribeOptions = ENGLISH,
    on_progress: OnProgress = lambda _: None,
) -> EngineResult:
    return await provider.transcribe(audio, CHUNK, options, on_progress)


async def begin(provider: SshWhisper, audio: Path) -> asyncio.Task[EngineResult]:
    """Start a job, and return once the command there works."""
    begun = asyncio.Event()
    task = asyncio.create_task(hear(provider, audio, on_progress=lambda _: begun.set()))
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert not task.done(), task.exception()
    return task


@pytest.fixture
def audio(samples: Path) -> Path:
    return samples / "jfk.wav"


async def test_words_and_progress_come_back(provider_for: Open, audio: Path) -> None:
    progress: list[float] = []
    result = await hear(provider_for(), audio, TranscribeOptions(), progress.append)
    (segment,) = result.segments
    assert segment.text == "Hello there."
    assert [(word.text, word.start, word.end) for word in segment.words] == [("Hello", 0.0, 0.4), ("there.", 0.45, 0.9)]
    assert (result.language, result.language_probability) == ("en", 0.97)
    assert 0 < result.engine_seconds < 60
    assert progress == [0.05, 0.5, 1.0]


async def test_five_files_go_over_one_connection(
    provider_for: Open, audio: Path, server: SshServer, work: Path
) -> None:
    before = server.logins
    provider = provider_for()
    for _ in range(5):
        await hear(provider, audio)
        assert leftovers(work) == ([], {})
    assert server.logins == before + 1


async def test_a_host_works_on_as_many_as_it_may(provider_for: Open, audio: Path, work: Path) -> None:
    provider = provider_for("slow", requests_per_host=2)
    tasks = [asyncio.create_task(hear(provider, audio)) for _ in range(4)]
    most = 0
    while not all(task.done() for task in tasks):
        most = max(most, len(leftovers(work)[0]))
        await asyncio.sleep(0.01)
    assert [task.result().segments[0].text for task in tasks] == ["Hello there."] * 4
    assert most == 2


async def test_a_folder_with_a_hostile_name(provider_for: Open, audio: Path, work: Path) -> None:
    hostile = work / "a 'b' \"c\" $(touch x) `id`\n;é* {audio}"
    hostile.mkdir()
    assert (await hear(provider_for(folder=str(hostile)), audio)).segments
    assert list(hostile.iterdir()) == []
    hostile.rmdir()


@pytest.mark.parametrize(
    ("mode", "error", "said"),
    [
        ("kill", EngineCrashed, "signal 9"),
        ("crash", EngineCrashed, "signal 11"),
        ("fail", ProviderFailed, "ended with 3: error: unknown language 'xx'"),
        ("nothing", ProviderFailed, "wrote no JSON.*unknown argument: -zz"),
        ("half", ProviderFailed, "not whole"),
        ("other", ProviderFailed, "not whisper.cpp's JSON"),
        ("silent", EngineEmptyResult, "no text"),
    ],
)
async def test_a_command_that_goes_wrong(
    provider_for: Open, audio: Path, work: Path, mode: str, error: type[V2TError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        await hear(provider_for(mode), audio)
    assert caught.value.message.isprintable()
    assert caught.value.retryable
    assert leftovers(work) == ([], {})


async def test_a_short_sound_without_words_is_an_answer(provider_for: Open, audio: Path) -> None:
    chunk = Chunk(0, "0.wav", (Piece(0.0, 1.0),))
    assert (await provider_for("silent").transcribe(audio, chunk, ENGLISH, lambda _: None)).segments == ()


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"command": ("/none/whisper-cli", "{audio}", "{output}")}, "ssh_whisper.command"),
        ({"command": (__file__, "{audio}", "{output}")}, "ssh_whisper.command"),  # it may not be executed
        ({"model_path": "/none/ggml-{name}.bin"}, "/none/ggml-base.bin on .*ssh_whisper.model_path"),
        ({"folder": "/none"}, "No such file or directory; set ssh_whisper.folder"),
        ({"folder": __file__}, "Not a directory; set ssh_whisper.folder"),
    ],
)
async def test_what_is_set_wrongly_is_named(
    provider_for: Open, audio: Path, changes: dict[str, Any], setting: str
) -> None:
    with pytest.raises(ConfigurationError, match=setting) as caught:
        await hear(provider_for("fail", **changes), audio)
    assert not caught.value.retryable
    assert caught.value.message.isprintable()


async def test_a_host_that_takes_no_files(tmp_path: Path, work: Path, audio: Path) -> None:
    with serve_ssh(tmp_path / "other", more="") as bare:
        provider = SshWhisper(settings_for(bare, work))
        with pytest.raises(ConfigurationError, match="Subsystem sftp"):
            await hear(provider, audio)
        await provider.close()
    assert leftovers(work)[0] == []


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "v2t-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize(("mode", "size"), [("well", "128k"), ("fill", "1m")])
async def test_a_full_disk_there(provider_for: Open, audio: Path, work: Path, mode: str, size: str) -> None:
    with small_disk(work / "disk", f"size={size}") as disk:
        with pytest.raises(ProviderFailed, match=f"disk of .* is full at {disk}") as caught:
            await hear(provider_for(mode, folder=str(disk)), audio)
        assert caught.value.retryable
        assert list(disk.iterdir()) == []
    (work / "disk").rmdir()


async def test_a_folder_that_cannot_be_written(provider_for: Open, audio: Path, work: Path) -> None:
    said = r"Read-only file system; set ssh_whisper\.folder"
    with small_disk(work / "disk", "ro") as disk, pytest.raises(ConfigurationError, match=said):
        await hear(provider_for(folder=str(disk)), audio)
    (work / "disk").rmdir()


@pytest.mark.parametrize("mode", ["hang", "hold"])
async def test_cancelling_ends_the_command_there_within_2_seconds(
    provider_for: Open, audio: Path, work: Path, server: SshServer, mode: str
) -> None:
    provider = provider_for(mode)
    task = await begin(provider, audio)
    assert leftovers(work)[0]
    assert leftovers(work)[1]
    logins = server.logins
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert leftovers(work)[0] == []
    await until(lambda: leftovers(work) == ([], {}), "what was killed is gone", 1.0)
    assert time.monotonic() - begun < 2
    await provider.check()
    assert server.logins == logins, "the connection was given up"


async def test_cancelling_twice_is_cancelling(provider_for: Open, audio: Path, work: Path) -> None:
    task = await begin(provider_for("hold"), audio)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: leftovers(work) == ([], {}), "nothing is left", 2.0)


async def test_cancelling_does_not_wait_for_a_host_that_does_not_answer(provider_for: Open, audio: Path) -> None:
    async def keep_quiet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    async with await asyncio.start_server(keep_quiet, "127.0.0.1", 0) as quiet:
        port = quiet.sockets[0].getsockname()[1]
        task = asyncio.create_task(hear(provider_for(hosts=(f"127.0.0.1:{port}",), connect_seconds=3), audio))
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - begun < 1
        gone.set()


async def test_a_command_that_takes_too_long_is_ended(provider_for: Open, audio: Path, work: Path) -> None:
    with pytest.raises(EngineTimedOut, match=r"ssh_whisper\.timeout_seconds"):
        await hear(provider_for("hold", timeout_seconds=0.3, timeout_factor=0), audio)
    assert leftovers(work)[0] == []


async def test_a_connection_cut_in_the_middle(provider_for: Open, audio: Path, work: Path, server: SshServer) -> None:
    provider = provider_for("hold")
    task = await begin(provider, audio)
    server.cut()
    with pytest.raises(ProviderUnreachable, match="broke"):
        await task
    await until(lambda: leftovers(work) == ([], {}), "the host ends it by itself", 5.0)


async def test_a_kept_connection_that_died_is_replaced_unnoticed(
    provider_for: Open, audio: Path, server: SshServer
) -> None:
    provider = provider_for()
    await hear(provider, audio)
    before = server.logins
    server.cut()
    assert (await hear(provider, audio)).segments
    assert server.logins == before + 1


async def test_a_host_that_is_down_is_unreachable_until_it_is_back(
    provider_for: Open, audio: Path, server: SshServer
) -> None:
    provider = provider_for()
    await provider.check()
    server.stop()
    try:
        for ask in (provider.check(), hear(provider, audio)):
            with pytest.raises(ProviderUnreachable, match="Connection refused"):
                await ask
    finally:
        server.start()
    assert await provider.check() == "answers"
    assert (await hear(provider, audio)).segments


async def test_a_check_tells_which_hosts_do_not_answer(provider_for: Open, server: SshServer) -> None:
    said = await provider_for(hosts=(server.address, "127.0.0.1:1")).check()
    assert said.startswith("1 of 2 hosts answer; 127.0.0.1:1 does not answer by SSH")


async def test_a_host_that_fails_is_passed_over(provider_for: Open, audio: Path, server: SshServer) -> None:
    assert (await hear(provider_for(hosts=("127.0.0.1:1", server.address)), audio)).segments


async def test_when_all_hosts_fail_each_is_named(provider_for: Open, audio: Path) -> None:
    with pytest.raises(ProviderUnreachable, match=r"127\.0\.0\.1:1 .*; none\.invalid .*"):
        await hear(provider_for(hosts=("127.0.0.1:1", "none.invalid")), audio)


async def test_what_it_cannot_do_is_refused_before_it_connects(
    provider_for: Open, audio: Path, server: SshServer
) -> None:
    before = server.logins
    provider = provider_for(translate_arguments=(), dollars_per_minute=0.5, model_path="/m/{name}")
    assert provider.capabilities == Capabilities(translation=False, streaming=True, dollars_per_minute=0.5)
    for options in (TranscribeOptions(translate=True), TranscribeOptions(model="../x")):
        with pytest.raises(ProviderRejected):
            await hear(provider, audio, options)
    assert server.logins == before


async def test_without_hosts_it_says_what_to_set(provider_for: Open, audio: Path) -> None:
    provider = provider_for(hosts=())
    for ask in (provider.check(), hear(provider, audio)):
        with pytest.raises(ConfigurationError, match=r"ssh_whisper\.hosts"):
            await ask
