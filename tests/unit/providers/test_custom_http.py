from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import server_context, write_certificate
from support.speech_servers import SpeechServer, says, serve_speech

from v2t.config.providers import CustomHttpSettings
from v2t.domain.errors import ConfigurationError, CredentialsRefused, ProviderBusy, ProviderFailed, ProviderRejected
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult
from v2t.providers.custom_http import CustomHttp

CHUNK = Chunk(0, "0.wav", (Piece(0.0, 10.0),))


@pytest.fixture
async def server() -> AsyncIterator[SpeechServer]:
    async with serve_speech(SpeechServer(lambda _words, _language: {"text": " Hello. "})) as running:
        yield running


def open_provider(server: SpeechServer, **settings: Any) -> CustomHttp:
    told = {"url": f"{server.address}/asr", "allowed_hosts": "127.0.0.1", **settings}
    return CustomHttp(CustomHttpSettings.model_validate(told))


async def hear(
    server: SpeechServer, audio: Path, settings: dict[str, Any] | None = None, document: object = None, **options: Any
) -> EngineResult:
    if document is not None:
        server.answer = lambda _words, _language: document
    provider = open_provider(server, **(settings or {}))
    try:
        return await provider.transcribe(audio, CHUNK, TranscribeOptions(**options), lambda _: None)
    finally:
        await provider.close()


async def test_the_request_is_what_the_settings_say(
    server: SpeechServer, audio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASR_TENANT", "acme")
    settings = {
        "method": "PUT",
        "headers": {"X-Tenant": "env:ASR_TENANT"},
        "file_field": "audio",
        "fields": {"model": "best"},
        "language_field": "lang",
        "prompt_field": "hint",
        "translate_field": "english",
    }
    await hear(server, audio, settings, language="de", prompt="Weimar", translate=True)
    await hear(server, audio, settings)
    first, second = server.seen
    assert (first.method, first.path, first.headers["x-tenant"]) == ("PUT", "/asr", "acme")
    assert first.fields == {"audio": "RIFF", "model": "best", "lang": "de", "hint": "Weimar", "english": "true"}
    assert second.fields == {"audio": "RIFF", "model": "best"}


@pytest.mark.parametrize(
    ("settings", "header", "value"),
    [
        ({"authentication": "bearer"}, "authorization", "Bearer hush"),
        (
            {"authentication": "basic", "user": "me"},
            "authorization",
            f"Basic {base64.b64encode(b'me:hush').decode()}",
        ),
        ({"authentication": "header", "header_name": "X-Token"}, "x-token", "hush"),
        ({"authentication": "none"}, "authorization", None),
    ],
    ids=["bearer", "basic", "header", "none"],
)
async def test_it_shows_who_it_is_and_keeps_that_out_of_errors(
    server: SpeechServer, audio: Path, settings: dict[str, Any], header: str, value: str | None
) -> None:
    settings |= {"secret": "hush"}
    await hear(server, audio, settings)
    assert server.seen[0].headers.get(header) == value
    if value:
        server.misbehaviours = [says(401, {"error": f"you said {value}"})]
        with pytest.raises(CredentialsRefused, match=r"you said .*\(redacted\).*check custom_http\.secret") as raised:
            await hear(server, audio, settings)
        assert value.rpartition(" ")[2] not in raised.value.message


async def test_text_and_segments_are_found_by_their_paths(server: SpeechServer, audio: Path) -> None:
    document = {
        "results": [
            {
                "said": "Hello. You.",
                "parts": [
                    {"time": {"from": 500, "to": "1500"}, "words": " Hello."},
                    {"time": {"from": 2000.5, "to": 3000}, "words": "You."},
                ],
                "language": "German",
            }
        ]
    }
    paths = {
        "text_path": "results.0.said",
        "segments_path": "results.0.parts",
        "segment_start": "time.from",
        "segment_end": "time.to",
        "segment_text": "words",
        "time_unit": "milliseconds",
        "language_path": "results.0.language",
    }
    result = await hear(server, audio, paths, document)
    assert [(s.text, s.start, s.end) for s in result.segments] == [("Hello.", 0.5, 1.5), ("You.", 2.0005, 3.0)]
    assert (result.language, result.language_probability) == ("de", 1.0)
    whole = await hear(server, audio, paths | {"segments_path": ""}, document)
    assert [(s.text, s.start, s.end) for s in whole.segments] == [("Hello. You.", 0.0, 10.0)]


@pytest.mark.parametrize(
    ("settings", "document", "message"),
    [
        ({"text_path": "a.b"}, {"a": 1}, "there is no text at a.b"),
        ({"segments_path": "s"}, {"s": {}}, "there is no list at s"),
        ({"segments_path": "s"}, {"s": [{"start": None, "end": 1, "text": "a"}]}, "there is no time at start"),
        ({"segments_path": "s"}, {"s": [{"start": 0, "end": "late", "text": "a"}]}, "there is no time at end"),
        ({"segments_path": "s"}, {"s": [{"start": 0, "end": 10**400, "text": "a"}]}, "there is no time at end"),
        ({"segments_path": "s"}, {"s": [{"start": 0, "end": 1}]}, "there is no text at text"),
        ({"segments_path": "s"}, {"s": [7]}, "there is no time at start"),
        ({"error_path": "fault.why"}, {"fault": {"why": "no\nGPU"}, "text": ""}, "custom_http failed: no GPU"),
    ],
)
async def test_an_answer_of_another_shape_is_told_by_the_path(
    server: SpeechServer, audio: Path, settings: dict[str, Any], document: object, message: str
) -> None:
    with pytest.raises(ProviderFailed, match=message):
        await hear(server, audio, settings, document)


async def test_the_path_of_the_error_is_read_in_refusals_too(server: SpeechServer, audio: Path) -> None:
    server.misbehaviours = [says(400, {"error": "failed", "fault": {"why": "too long"}})]
    with pytest.raises(ProviderRejected, match="too long"):
        await hear(server, audio, {"error_path": "fault.why"})


@pytest.mark.parametrize("language", [None, 7, "klingon", ""])
async def test_a_language_that_is_none_is_not_known(server: SpeechServer, audio: Path, language: object) -> None:
    result = await hear(server, audio, {"language_path": "l"}, {"text": "a", "l": language})
    assert (result.language, result.language_probability) == ("", 0.0)


async def test_an_address_inside_must_be_listed(server: SpeechServer, audio: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1, which is not a public address; list it"):
        await hear(server, audio, {"allowed_hosts": ""})
    with pytest.raises(ConfigurationError, match="localhost is at"):
        await hear(server, audio, {"url": server.address.replace("127.0.0.1", "localhost")})
    assert server.connections == 0


async def test_the_connection_goes_to_the_address_that_was_checked(
    tmp_path: Path, audio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def look_up(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    certificate = write_certificate(tmp_path / "own.pem", "asr.example.org")
    speech = SpeechServer(lambda _words, _language: {"text": "Hello."})
    async with serve_speech(speech, server_context(certificate)) as server:
        url = server.address.replace("127.0.0.1", "asr.example.org")
        settings = {"url": url, "ca_file": str(certificate), "allowed_hosts": "ASR.example.org"}
        assert (await hear(server, audio, settings)).segments
        assert "asr.example.org" in asked
        assert server.seen[0].headers["host"].startswith("asr.example.org:")
        with pytest.raises(ConfigurationError, match=r"asr\.example\.org is at 127\.0\.0\.1"):
            await hear(server, audio, settings | {"allowed_hosts": "other.example.org"})


async def test_its_health_is_asked_for_where_the_settings_say(server: SpeechServer) -> None:
    named = open_provider(server, check_url=f"{server.address}/health")
    unnamed = open_provider(server)
    assert await named.check() == "is well"
    assert await unnamed.check() == "answers"
    server.misbehaviours = [says(405, {}), says(404, {}), says(503, {})]
    assert await unnamed.check() == "answers, but does not tell its health"
    with pytest.raises(ProviderRejected):
        await named.check()
    with pytest.raises(ProviderBusy, match="come back later"):
        await named.check()
    assert [(seen.method, seen.path) for seen in server.seen[:3]] == [
        ("GET", "/health"),
        ("OPTIONS", "/asr"),
        ("OPTIONS", "/asr"),
    ]
    await named.close()
    await unnamed.close()


async def test_without_an_address_it_says_what_to_set(server: SpeechServer, audio: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"custom_http\.url is not set"):
        await hear(server, audio, {"url": ""})
