from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from v2t.config import Settings, load_settings
from v2t.domain.breaker import BreakerPolicy, end_call
from v2t.domain.errors import ConfigurationError
from v2t.domain.jobs import AUTO, AudioRef, Choice, TranscribeOptions, TranscribeRequest
from v2t.domain.selection import Facts
from v2t.planning import Planner, describe_providers, no_kinds, remote_providers
from v2t.storage.breakers import SharedBreakers

FILE = Facts(5_000_000, user="anna", priority=3, format="wav")
Write = Callable[[str], Settings]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Settings of a file of that text, and of nothing else."""

    def write(text: str) -> Settings:
        (tmp_path / "v2t.toml").write_text(text)
        monkeypatch.setenv("V2T_CONFIG", str(tmp_path / "v2t.toml"))
        return load_settings()

    return write


def request(provider: str, model: str = "base") -> TranscribeRequest:
    return TranscribeRequest(AudioRef("0" * 64, 9, "talk.wav"), TranscribeOptions(provider, model))


async def chosen(settings: Settings, *kinds: str) -> list[str]:
    async def there() -> frozenset[str]:
        return frozenset(kinds)

    plan = await Planner(settings, there, SharedBreakers()).plan(FILE)
    return [f"{choice.provider} {choice.model} {choice.workers}".strip() for choice in plan.choices]


async def test_a_provider_elsewhere_is_asked_only_where_a_setting_says_so(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-program")
    assert await chosen(write("")) == ["local"]
    assert await chosen(write('[openai]\napi_key = "env:OPENAI_API_KEY"\n')) == ["local", "openai whisper-1"]
    monkeypatch.setenv("V2T_ELEVENLABS__API_KEY", "key")
    assert await chosen(write("")) == ["local", "elevenlabs scribe_v2"]


async def test_providers_elsewhere_are_asked_by_remote_workers_where_there_are_some(write: Write) -> None:
    settings = write('[openai]\napi_key = "key"\n')
    assert await chosen(settings, "cpu", "remote") == ["local", "openai whisper-1 remote"]
    assert await chosen(settings, "cpu") == ["local", "openai whisper-1"]


async def test_rules_of_the_settings_come_before_the_four_of_v2t(write: Write) -> None:
    rules = '[[selection.rules]]\nname = "all"\nprovider = "openai"\nmodel = "gpt-4o-transcribe"\n'
    settings = write('[openai]\napi_key = "key"\n' + rules)
    assert await chosen(settings) == ["openai gpt-4o-transcribe", "local"]


async def test_without_the_four_the_chain_alone_decides(write: Write) -> None:
    settings = write('[openai]\napi_key = "key"\n[selection]\nchain = ["openai", "local"]\ndefault_rules = false\n')
    assert await chosen(settings) == ["openai whisper-1", "local"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[selection]\nchain = ["local", "siri"]\n', "the chain names siri"),
        ('[[selection.rules]]\nname = "r"\nprovider = "siri"\n', "rule 'r' names siri"),
    ],
)
def test_a_provider_that_does_not_exist_is_refused_with_its_place(write: Write, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"v2t\.toml: {complaint}, and there is no such provider; there are"):
        Planner(write(text), no_kinds, SharedBreakers())


async def test_a_provider_that_is_named_is_the_only_one_with_the_model_that_was_asked_for(write: Write) -> None:
    planner = Planner(write('[openai]\napi_key = "key"\n'), no_kinds, SharedBreakers())
    assert await planner.choose(request("openai", "gpt-4o-transcribe"), 0) == (Choice("openai", "gpt-4o-transcribe"),)
    assert await planner.choose(request("local"), 0) == ()
    assert [choice.provider for choice in await planner.choose(request(AUTO), 0)] == ["local", "openai"]


async def test_a_provider_that_is_left_alone_is_asked_last(write: Write) -> None:
    breakers = SharedBreakers()
    settings = write('[openai]\napi_key = "key"\n[selection]\nchain = ["openai", "local"]\ndefault_rules = false\n')
    for _ in range(5):
        breakers.change("openai", lambda breaker: (end_call(breaker, "it is down", 2e10, BreakerPolicy()), True))
    plan = await Planner(settings, no_kinds, breakers).plan(FILE)
    assert [choice.provider for choice in plan.choices] == ["local", "openai"]


def test_what_each_provider_lacks_is_told(write: Write) -> None:
    settings = write('[whisper_server]\nurl = "http://10.0.0.7:8080"\n')
    lacks = {provider.name: provider.missing for provider in describe_providers(settings)}
    assert lacks["whisper_server"] == lacks["local"] == ""
    assert lacks["custom_http"] == "custom_http.url is not set"
    assert lacks["ssh_whisper"] == "ssh_whisper.hosts is not set"
    assert remote_providers(settings) == ["whisper_server"]
