from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from v2t.config import Settings, load_settings
from v2t.domain.breaker import BreakerPolicy, end_call
from v2t.domain.jobs import AUTO, AudioRef, Choice, JobState, TranscribeOptions, TranscribeRequest
from v2t.domain.records import JobRecord, ProviderAttempt
from v2t.domain.selection import Facts
from v2t.planning import Planner, describe_providers, no_kinds, remote_providers, spent_by
from v2t.storage.breakers import SharedBreakers
from v2t.testing import MemoryJobRecords

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


async def test_a_provider_that_is_named_is_the_only_one_with_the_model_that_was_asked_for(write: Write) -> None:
    planner = Planner(write('[openai]\napi_key = "key"\n'), no_kinds, SharedBreakers())
    assert await planner.choose(request("openai", "gpt-4o-transcribe"), 0) == (
        Choice("openai", "gpt-4o-transcribe", own_queue=True),
    )
    assert await planner.choose(request("local"), 0) == ()
    assert [choice.provider for choice in await planner.choose(request(AUTO), 0)] == ["local", "openai"]


async def test_a_provider_that_is_left_alone_is_asked_last(write: Write) -> None:
    breakers = SharedBreakers()
    settings = write('[openai]\napi_key = "key"\n[selection]\nchain = ["openai", "local"]\ndefault_rules = false\n')
    for _ in range(5):
        breakers.change("openai", lambda breaker: (end_call(breaker, "it is down", 2e10, BreakerPolicy()), True))
    plan = await Planner(settings, no_kinds, breakers).plan(FILE)
    assert [choice.provider for choice in plan.choices] == ["local", "openai"]


async def test_a_user_whose_month_is_spent_is_served_by_what_costs_nothing(write: Write) -> None:
    settings = write('[openai]\napi_key = "key"\ndollars_per_minute = 0.01\n[selection]\nmonthly_dollars = 2\n')
    asked: list[str] = []

    def spent(user: str) -> float:
        asked.append(user)
        return {"anna": 1.995, "bert": 0.5}[user]

    planner = Planner(settings, no_kinds, SharedBreakers(), spent)
    minute = replace(FILE, seconds=60.0)
    plans = [await planner.plan(replace(minute, user=user)) for user in ("anna", "bert", "anna")]

    assert [[choice.provider for choice in plan.choices] for plan in plans] == [
        ["local"],
        ["local", "openai"],
        ["local"],
    ]
    assert plans[0].left_out["openai"] == "openai would cost $0.0100, and $0.0050 may be spent"
    assert asked == ["anna", "bert"], "for a minute what is known is enough"


async def test_a_rule_may_look_at_what_is_left_of_the_month(write: Write) -> None:
    settings = write(
        '[openai]\napi_key = "key"\ndollars_per_minute = 0.01\n[selection]\nmonthly_dollars = 2\n'
        '[[selection.rules]]\nname = "early in the month"\nprovider = "openai"\nbudget_left_above_dollars = 1.5\n'
    )
    planner = Planner(settings, no_kinds, SharedBreakers(), {"anna": 0.25, "bert": 0.5}.__getitem__)
    plans = [await planner.plan(replace(FILE, seconds=60.0, user=user)) for user in ("anna", "bert")]
    assert [plan.choices[0].provider for plan in plans] == ["openai", "local"]
    assert plans[1].looked[0].why_not == "$1.50 of the month's budget is left, not more than $1.50"


GERMAN = '[[selection.rules]]\nname = "German"\nprovider = "whisper_server"\nlanguages = ["de"]\n'
SERVER = '[whisper_server]\nurl = "http://127.0.0.1:9"\n'


@pytest.mark.parametrize(
    ("selection", "language", "beginning", "listened", "first"),
    [
        ("detect_language = true", "", Path("0.wav"), True, "whisper_server"),
        ("detect_language = true", "en", Path("0.wav"), False, "local"),
        ("detect_language = true", "", None, False, "local"),
        ("detect_language = false", "", Path("0.wav"), False, "local"),
    ],
    ids=["needed", "given", "no speech", "not wanted"],
)
async def test_a_language_that_a_rule_needs_is_heard(
    write: Write, selection: str, language: str, beginning: Path | None, listened: bool, first: str
) -> None:
    heard: list[tuple[Path, str]] = []

    async def detect(audio: Path, model: str) -> str:
        heard.append((audio, model))
        return "de"

    settings = write(f"[selection]\ndefault_rules = false\n{selection}\n{GERMAN}{SERVER}")
    planner = Planner(settings, no_kinds, SharedBreakers(), detect=detect)
    asked = replace(request(AUTO), options=TranscribeOptions(AUTO, "small", language))
    choices = await planner.choose(asked, 60.0, beginning)
    assert heard == ([(Path("0.wav"), "small")] if listened else [])
    assert choices[0].provider == first


async def test_nobody_listens_where_no_rule_looks_at_the_language(write: Write) -> None:
    async def detect(audio: Path, model: str) -> str:
        raise AssertionError(f"{model} listens to {audio}")

    settings = write("[selection]\ndefault_rules = false\ndetect_language = true\n" + SERVER)
    planner = Planner(settings, no_kinds, SharedBreakers(), detect=detect)
    assert [choice.provider for choice in await planner.choose(request(AUTO), 60.0, Path("0.wav"))] == ["local"]


async def test_who_only_transcribes_is_left_out_of_a_translation(write: Write) -> None:
    settings = write('[elevenlabs]\napi_key = "key"\n')
    plan = await Planner(settings, no_kinds, SharedBreakers()).plan(replace(FILE, translate=True))
    assert plan.left_out["elevenlabs"] == "elevenlabs does not translate"


def test_a_users_month_is_what_the_records_know_of_it() -> None:
    records = MemoryJobRecords()
    audio = AudioRef("0" * 64, 9, "talk.wav")
    job = JobRecord("t-1", "anna", audio.name, audio.sha256, 9, JobState.COMPLETED)
    records.save(job)
    paid = ProviderAttempt("t-1", 0, 1, "openai", "whisper-1", "m4-1", time.time(), 1.0, 60.0, dollars=0.25)
    for attempt in (
        paid,
        replace(paid, chunk_index=1),
        replace(paid, chunk_index=2, started_at=time.time() - 40 * 86_400),
    ):
        records.save_attempt(attempt)
    assert spent_by(records)("anna") == 0.5
    assert spent_by(records)("bert") == 0.0


def test_what_each_provider_lacks_is_told(write: Write) -> None:
    settings = write('[whisper_server]\nurl = "http://10.0.0.7:8080"\n')
    lacks = {provider.name: provider.missing for provider in describe_providers(settings)}
    assert lacks["whisper_server"] == lacks["local"] == ""
    assert lacks["custom_http"] == "custom_http.url is not set"
    assert lacks["ssh_whisper"] == "ssh_whisper.hosts is not set"
    assert remote_providers(settings) == ["whisper_server"]


async def test_a_provider_that_is_set_up_has_a_queue_of_its_own_and_one_that_is_merely_named_has_none(
    write: Write,
) -> None:
    planner = Planner(write('[openai]\napi_key = "key"\n'), no_kinds, SharedBreakers())
    assert [choice.own_queue for choice in await planner.choose(request(AUTO), 0)] == [False, True]
    assert [choice.own_queue for choice in await planner.choose(request("elevenlabs"), 0)] == [False]
