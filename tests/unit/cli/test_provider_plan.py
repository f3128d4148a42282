from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.provider_settings import data, write_settings

from v2t import wiring
from v2t.cli.provider_plan import command
from v2t.domain.breaker import BreakerPolicy, end_call
from v2t.domain.jobs import LOCAL
from v2t.providers.table import resolve_provider
from v2t.storage.breakers import SharedBreakers


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of settings, with a server that costs something and a rule that names it."""
    path = write_settings(tmp_path)
    monkeypatch.setenv("V2T_CONFIG", str(path))
    return path


def explain(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [str(file), *arguments])


def test_an_explanation_names_facts_rules_and_whom_is_asked_at_which_cost(samples: Path) -> None:
    asked = ("--minutes", "20", "--user", "anna", "--priority", "2", "--tag", "court", "--tag", "press")
    outcome = explain(samples / "jfk.wav", *asked)
    assert outcome.exit_code == 0
    assert outcome.stdout.splitlines() == [
        "file:     jfk.wav, 0.4 MB, 20.0 min",
        "language: to be detected; rules that ask for a language do not hold",
        "asked by: anna, priority 2, tags court, press",
        "",
        "Rules, in the order they are looked at, up to the first that holds:",
        "RULE                    WOULD ASK       HOLDS",
        "long ones go elsewhere  whisper_server  yes",
        "",
        "Asked, one after the other until one succeeds:",
        "    PROVIDER        MODEL  WORKERS  COSTS    WHY",
        "1.  whisper_server  base   any      $0.0200  rule: long ones go elsewhere",
        "2.  local           base   any      nothing  the chain",
        f"(local is the fastest engine that works here: {resolve_provider(LOCAL).name})",
    ]


def test_an_explanation_says_why_a_rule_does_not_hold(samples: Path) -> None:
    explained = data(explain(samples / "jfk.wav", "--language", "auto", "--json"))
    assert explained["rules"][0] == {
        "name": "long ones go elsewhere",
        "provider": "whisper_server",
        "why_not": "the length is not known",
        "perhaps": False,
    }
    assert [choice["provider"] for choice in explained["choices"]] == ["local"]
    assert (explained["facts"]["dollars"], explained["facts"]["budget_dollars"]) == (None, None)


def test_an_explanation_says_who_would_cost_too_much(samples: Path, settings: Path) -> None:
    settings.write_text(settings.read_text().replace("[selection]", "[selection]\nmonthly_dollars = 2"))
    asked = ("--minutes", "20", "--max-cost", "0.0105")
    explained = data(explain(samples / "jfk.wav", *asked, "--json"))
    assert explained["facts"]["dollars"] == 0.0105
    assert [choice["provider"] for choice in explained["choices"]] == ["local"]
    assert "whisper_server would cost $0.0200, and $0.0105 may be spent" in explained["rules"][0]["why_not"]
    lines = explain(samples / "jfk.wav", *asked).stdout.splitlines()
    assert "money:    at most $0.0105 for this file; $2.00 of this month's $2.00 is left" in lines


def test_an_explanation_on_a_cluster_says_that_it_does_not_know_what_is_spent(
    samples: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody() -> frozenset[str]:
        return frozenset()

    monkeypatch.setattr("v2t.planning.kinds_of_cluster", lambda _settings: nobody)
    settings.write_text(settings.read_text().replace("[selection]", "[selection]\nmonthly_dollars = 2"))
    monkeypatch.setenv("V2T_TEMPORAL__ADDRESS", "127.0.0.1:9")
    lines = explain(samples / "jfk.wav").stdout.splitlines()
    spent = "if nothing of this month's $2.00 is spent yet: database.url is not set here"
    assert f"money:    at most $2.00 for this file, {spent}" in lines
    assert not [line for line in lines if line.startswith("(local is")], "its workers are others"


def test_an_explanation_tells_what_depends_on_the_language(samples: Path, settings: Path) -> None:
    text = settings.read_text().replace("[selection]", "[selection]\ndetect_language = true")
    settings.write_text(text.replace("longer_than_minutes = 10", 'languages = ["German"]'))
    lines = explain(samples / "jfk.wav").stdout.splitlines()
    assert lines[1] == "language: to be detected, before the rules are looked at if one of them depends on it"
    rule = next(line for line in lines if line.startswith("long ones go elsewhere"))
    assert rule.endswith("  perhaps: only if the language turns out to be de")
    assert "(perhaps: a worker listens to the beginning first; the rest holds where it hears another language)" in lines


def test_an_explanation_tells_who_is_in_trouble_and_asked_last(
    samples: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breakers = SharedBreakers()
    for _ in range(5):
        breakers.change(
            "whisper_server", lambda breaker: (end_call(breaker, "it is down", 2e10, BreakerPolicy()), True)
        )
    monkeypatch.setattr(wiring, "open_breakers", lambda _settings: breakers)
    settings.write_text(settings.read_text().replace('["local"]', '["whisper_server", "local"]'))
    explained = data(explain(samples / "jfk.wav", "--minutes", "20", "--json"))
    assert explained["rules"][0]["why_not"] == "whisper_server is in trouble: it is down"
    assert [(choice["provider"], choice["reason"]) for choice in explained["choices"]] == [
        ("local", "rule: what costs nothing comes first"),
        ("whisper_server", "the chain; last, as it is in trouble: it is down"),
    ]


def test_an_explanation_says_so_where_nobody_can_be_asked(samples: Path, settings: Path) -> None:
    settings.write_text('[selection]\nchain = ["openai", "elevenlabs"]\ndefault_rules = false\n')
    lines = explain(samples / "jfk.wav", "--translate").stdout.splitlines()
    assert "wanted:   a translation into English" in lines
    assert lines[-8:] == [
        "Rules, in the order they are looked at, up to the first that holds:",
        "(there are none)",
        "",
        "Nobody can be asked: the job would fail. `v2t providers list` shows what each provider lacks.",
        "",
        "Not asked, although a rule or the chain names them:",
        "openai: openai.api_key is not set",
        "elevenlabs: elevenlabs.api_key is not set",
    ]


def test_an_explanation_of_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    outcome = explain(tmp_path / "none.wav")
    assert outcome.exit_code == 2
    assert "does not exist" in outcome.stderr
