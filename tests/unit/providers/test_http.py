from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from support.certificates import server_context, write_certificate
from support.speech_servers import SpeechServer, says, serve_speech

from v2t.config import Secret
from v2t.config.providers import RemoteSettings
from v2t.domain.errors import ConfigurationError, EngineTimedOut, ProviderFailed, ProviderRejected, ProviderUnreachable
from v2t.providers._http import HttpEdge


def open_edge(settings: RemoteSettings | None = None) -> HttpEdge:
    return HttpEdge("asr", settings or RemoteSettings(), url_setting="url", key_setting="api_key")


@pytest.fixture
async def server() -> AsyncIterator[SpeechServer]:
    async with serve_speech(SpeechServer(lambda _words, _language: {"text": "so"})) as running:
        yield running


@pytest.fixture
async def edge() -> AsyncIterator[HttpEdge]:
    opened = open_edge()
    yield opened
    await opened.close()


async def test_a_request_without_audio_has_no_form(edge: HttpEdge, server: SpeechServer) -> None:
    assert await edge.ask("GET", server.address, headers={"X-Key": "k"}) == b"{}"
    (seen,) = server.seen
    assert (seen.method, seen.body, seen.headers["x-key"]) == ("GET", b"", "k")


async def test_a_file_is_streamed_and_not_read_whole(
    edge: HttpEdge, server: SpeechServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = tmp_path / "0.wav"
    audio.write_bytes(bytes(300_000))
    asked: list[int | None] = []
    opened = Path.open

    def watched(path: Path, mode: str) -> object:
        file = opened(path, mode)

        class Watched:
            name = "0.wav"

            def read(self, size: int = -1) -> bytes:
                asked.append(size)
                content: bytes = file.read(size)
                return content

            def __enter__(self) -> Watched:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

        return Watched()

    monkeypatch.setattr(Path, "open", watched)
    await edge.ask("POST", server.address, audio=("file", audio))
    assert len(server.seen[0].parts["file"]) == 300_000
    assert asked
    assert all(size and 0 < size <= 65_536 for size in asked)


async def test_proxies_and_accounts_of_the_environment_are_left_alone(
    edge: HttpEdge, server: SpeechServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    other = open_edge()
    await other.ask("GET", server.address)
    await other.close()
    assert "authorization" not in server.seen[0].headers


async def test_a_certificate_is_checked(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "own.pem", "127.0.0.1")
    speech = SpeechServer(lambda _words, _language: {})
    async with serve_speech(speech, server_context(certificate)) as server:
        trusting = open_edge(RemoteSettings(ca_file=str(certificate)))
        doubting = open_edge()
        assert await trusting.ask("GET", server.address) == b"{}"
        with pytest.raises(ProviderUnreachable, match=r"CERTIFICATE_VERIFY_FAILED.*check asr\.ca_file"):
            await doubting.ask("GET", server.address)
        await trusting.close()
        await doubting.close()


async def test_a_certificate_of_another_host_or_time_is_refused(tmp_path: Path) -> None:
    for name, certificate in {
        "host": write_certificate(tmp_path / "host.pem", "asr.example.org"),
        "time": write_certificate(tmp_path / "time.pem", "127.0.0.1", days=-1),
    }.items():
        edge = open_edge(RemoteSettings(ca_file=str(certificate)))
        async with serve_speech(SpeechServer(lambda _words, _language: {}), server_context(certificate)) as server:
            with pytest.raises(ProviderUnreachable, match="mismatch" if name == "host" else "expired"):
                await edge.ask("GET", server.address)
        await edge.close()


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"asr\.ca_file: .*ca\.pem is not a readable certificate"):
        open_edge(RemoteSettings(ca_file=str(file)))


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that no more are made."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def test_connecting_has_a_limit_of_its_own(edge: HttpEdge, full_port: int) -> None:
    edge.client.timeout = httpx.Timeout(None, connect=0.2)
    with pytest.raises(
        ProviderUnreachable, match=r"does not answer at http://127\.0\.0\.1:\d+: .*check asr\.url"
    ) as raised:
        await edge.ask("GET", f"http://127.0.0.1:{full_port}/secret-path")
    assert "secret-path" not in raised.value.message


async def test_a_deadline_is_for_all_of_a_request(server: SpeechServer) -> None:
    edge = open_edge(RemoteSettings(timeout_seconds=0.1, timeout_factor=0.1))
    with pytest.raises(EngineTimedOut, match=r"within 0 s; asr\.timeout_seconds"):
        async with edge.within(1.0):
            await asyncio.sleep(5)
    await edge.close()


async def test_what_a_server_says_is_cut_short_and_made_printable(edge: HttpEdge, server: SpeechServer) -> None:
    server.misbehaviours = [says(400, {"error": "a\x00b\n\u202ec" + "d" * 10_000})]
    with pytest.raises(ProviderRejected) as raised:
        await edge.ask("GET", server.address)
    assert raised.value.message.startswith("asr does not take this (HTTP 400: a b cddd")
    assert raised.value.message.endswith("d…)")
    assert len(raised.value.message) < 250


async def test_a_secret_is_taken_out_before_the_text_is_cut(edge: HttpEdge) -> None:
    edge.hide("hush")
    edge.hide("hush-hush")
    assert edge.clean("x" * 196 + "hush-hush") == "x" * 196 + "(re…"
    assert edge.clean("hush-hush and hush") == "(redacted) and (redacted)"


async def test_a_secret_is_revealed_without_its_white_space(edge: HttpEdge) -> None:
    assert edge.reveal(Secret(" hush \n"), "api_key") == "hush"
    assert edge.clean("it is hush") == "it is (redacted)"


async def test_a_file_that_is_too_large_is_not_sent(edge: HttpEdge, tmp_path: Path) -> None:
    audio = tmp_path / "0.wav"
    audio.write_bytes(bytes(1001))
    edge.check_size(audio, 1001)
    with pytest.raises(ProviderRejected, match=r"no more than 1000 bytes; lower audio\.chunk_seconds"):
        edge.check_size(audio, 1000)


async def test_a_status_of_no_standard_is_told_too(edge: HttpEdge, server: SpeechServer) -> None:
    server.misbehaviours = [says(599, ""), says(418, ""), says(409, "")]
    with pytest.raises(ProviderFailed, match="HTTP 599: no reason given"):
        await edge.ask("GET", server.address)
    with pytest.raises(ProviderRejected, match="HTTP 418: I'm a Teapot"):
        await edge.ask("GET", server.address)
    with pytest.raises(ProviderFailed, match="HTTP 409: Conflict"):
        await edge.ask("GET", server.address)
