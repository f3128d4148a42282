"""How every provider on another machine tells what went wrong, against servers that misbehave."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.every_provider import errors_of
from support.processes import until
from support.speech_apis import APIS, SECRET, Api, hear
from support.speech_servers import (
    Misbehaviour,
    SpeechServer,
    busy_for,
    echoes_secrets,
    hangs,
    never_ends,
    resets,
    says,
    serve_speech,
    trickles,
)

from v2t.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    EngineTimedOut,
    ProviderBusy,
    ProviderFailed,
    ProviderRejected,
    ProviderUnreachable,
    V2TError,
)
from v2t.domain.ports import RemoteTranscriber
from v2t.providers import _http

WITH_SECRETS = pytest.mark.parametrize(
    "api", [api for api in APIS if api.key_setting], ids=lambda api: api.name, indirect=True
)


MISBEHAVIOURS: dict[str, tuple[Misbehaviour, type[V2TError], str]] = {
    "a reset in the middle": (resets, ProviderUnreachable, "broke the connection"),
    "a web page": (says(200, "<html>welcome</html>", Content_Type="text/html"), ProviderFailed, "cannot be read"),
    "no JSON": (says(200, '{"text": "Ask n'), ProviderFailed, "cannot be read"),
    "another shape": (says(200, {"unexpected": [1, 2]}), ProviderFailed, "cannot be read"),
    "a list": (says(200, [[[]]]), ProviderFailed, "cannot be read"),
    "wrong types": (says(200, {"text": 7, "segments": 3, "words": "x"}), ProviderFailed, "cannot be read"),
    "compressed": (says(200, "{}", Content_Encoding="gzip"), ProviderFailed, "compressed"),
    "credentials refused": (says(401, {"error": {"message": "no such key"}}), CredentialsRefused, "no such key"),
    "forbidden": (says(403, {"detail": {"message": "not yours"}}), CredentialsRefused, "not yours"),
    "a bad request": (says(400, {"error": "what is this"}), ProviderRejected, "what is this"),
    "too large": (says(413, "<html>nginx</html>"), ProviderRejected, "413.*Too Large"),
    "unprocessable": (says(422, {"detail": [{"msg": "field required"}]}), ProviderRejected, "field required"),
    "elsewhere": (says(302, "", Location="http://elsewhere.example/"), ProviderRejected, "elsewhere.example"),
    "too many": (says(429, {}, Retry_After="7"), ProviderBusy, "come back later"),
    "unavailable": (says(503, "loading", Retry_After="7"), ProviderBusy, "loading"),
    "its own failure": (says(500, {"message": "out of\nmemory\x1b[31m"}), ProviderFailed, "out of memory .31m"),
}


@pytest.mark.parametrize("kind", MISBEHAVIOURS)
async def test_each_misbehaviour_is_told_by_its_error_and_the_next_request_is_fine(
    provider: RemoteTranscriber, server: SpeechServer, audio: Path, kind: str
) -> None:
    misbehaviour, expected, message = MISBEHAVIOURS[kind]
    server.misbehaviours = [misbehaviour]
    with pytest.raises(V2TError, match=message) as raised:
        await hear(provider, audio)
    assert type(raised.value) is expected
    assert len(raised.value.message) < 500
    assert raised.value.message.isprintable()
    assert provider.name in raised.value.message
    assert (await hear(provider, audio)).segments


async def test_it_says_when_to_come_back(provider: RemoteTranscriber, server: SpeechServer, audio: Path) -> None:
    server.misbehaviours = [says(429, {}, Retry_After="7"), busy_for(30.0), says(429, {})]
    waits = []
    for _ in range(3):
        with pytest.raises(ProviderBusy) as raised:
            await hear(provider, audio)
        waits.append(raised.value.retry_after_seconds)
    assert waits == [7.0, pytest.approx(30.0, abs=3.0), 0.0]


async def test_an_answer_without_end_is_broken_off(
    provider: RemoteTranscriber, server: SpeechServer, audio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http, "MAX_ANSWER_BYTES", 1024 * 1024)
    server.misbehaviours = [never_ends]
    with pytest.raises(ProviderFailed, match="longer than"):
        await hear(provider, audio)
    await until(lambda: server.closed == 1, "the connection is closed")


@pytest.mark.parametrize("silence", [hangs, trickles], ids=["nothing", "a trickle"])
async def test_a_server_that_does_not_come_to_an_end_is_given_up(
    hasty: RemoteTranscriber, server: SpeechServer, audio: Path, silence: Misbehaviour
) -> None:
    server.misbehaviours = [silence]
    with pytest.raises(EngineTimedOut, match=r"timeout_seconds"):
        await hear(hasty, audio)
    await until(lambda: server.closed == 1, "the connection is closed")


async def test_the_time_limit_grows_with_the_audio(api: Api, server: SpeechServer, audio: Path) -> None:
    provider = api.open(server.address, timeout_seconds=0.05, timeout_factor=0.05)
    server.misbehaviours = [hangs]
    begun = time.monotonic()
    with pytest.raises(EngineTimedOut):
        await hear(provider, audio)
    assert 0.5 < time.monotonic() - begun < 2.0
    await provider.close()


async def test_a_refusal_before_the_audio_is_whole_is_told_as_one(
    provider: RemoteTranscriber, server: SpeechServer, tmp_path: Path
) -> None:
    audio = tmp_path / "large.wav"
    with audio.open("wb") as file:
        file.truncate(20_000_000)
    server.refuses_early = True
    with pytest.raises(ProviderRejected, match="413"):
        await hear(provider, audio)


async def test_nobody_there_is_told_with_the_setting_to_look_at(api: Api, audio: Path) -> None:
    async with serve_speech(SpeechServer(api.answer)) as gone:
        pass
    provider = api.open(gone.address)
    with pytest.raises(
        ProviderUnreachable, match=rf"{api.name} does not answer at .*; check {api.name}\.{api.url_setting}"
    ):
        await hear(provider, audio)
    await provider.close()


@WITH_SECRETS
async def test_a_secret_stands_in_no_error_and_no_description(
    api: Api, provider: RemoteTranscriber, server: SpeechServer, audio: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.misbehaviours = [echoes_secrets, resets, says(200, f'{{"oops": "{SECRET}"'), says(500, SECRET)]
    told = [repr(provider), str(provider)]
    for _ in range(4):
        with pytest.raises(V2TError) as raised:
            await hear(provider, audio)
        told += [f"{error} {error!r} {error.args}" for error in errors_of(raised.value)]
    assert any("(redacted)" in text for text in told)
    assert not [text for text in [*told, caplog.text] if SECRET in text]
    assert SECRET in str(server.seen[0].headers)


@WITH_SECRETS
@pytest.mark.parametrize("secret", [None, "", "two\nlines", "schlüssel"], ids=["none", "empty", "lines", "umlaut"])
async def test_a_secret_that_cannot_be_sent_is_a_matter_of_settings(
    api: Api, server: SpeechServer, audio: Path, monkeypatch: pytest.MonkeyPatch, secret: str | None
) -> None:
    if secret is None:
        monkeypatch.delenv("SPEECH_SECRET")
    else:
        monkeypatch.setenv("SPEECH_SECRET", secret)
    provider = api.open(server.address)
    for use in (hear(provider, audio), provider.check()):
        with pytest.raises(ConfigurationError, match=rf"SPEECH_SECRET|{api.name}\.{api.key_setting}") as raised:
            await use
        assert "schlüssel" not in str(raised.value)
    assert server.seen == []
    await provider.close()


async def test_the_check_costs_no_computing(provider: RemoteTranscriber, server: SpeechServer) -> None:
    assert await provider.check()
    assert [seen.method for seen in server.seen if seen.method == "POST"] == []


@pytest.mark.parametrize(
    ("misbehaviour", "expected"),
    [
        (says(401, {}), CredentialsRefused),
        (says(503, "loading"), ProviderBusy),
        (says(500, {}), ProviderFailed),
        (resets, ProviderUnreachable),
    ],
    ids=["refused", "loading", "failed", "reset"],
)
async def test_the_check_tells_why_it_would_not_take_work(
    provider: RemoteTranscriber, server: SpeechServer, misbehaviour: Misbehaviour, expected: type[V2TError]
) -> None:
    server.misbehaviours = [misbehaviour]
    with pytest.raises(expected):
        await provider.check()
    assert await provider.check()
