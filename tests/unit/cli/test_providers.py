from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.provider_settings import data, write_settings

from v2t.cli.providers import group
from v2t.db.records import open_records
from v2t.domain.records import ProviderAttempt


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_CONFIG", str(write_settings(tmp_path)))


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


def test_the_list_says_what_each_provider_lacks() -> None:
    rows = {row["name"]: row for row in data(call("list", "--json"))["providers"]}
    assert rows["whisper_server"]["missing"] == ""
    assert rows["openai"]["missing"] == "openai.api_key is not set"
    line = next(line for line in call("list").stdout.splitlines() if line.startswith("openai"))
    assert line.split()[:5] == ["openai", "another", "machine", "whisper-1", "$0.006/min"]
    assert line.endswith("openai.api_key is not set")


def test_engines_that_do_not_work_are_listed_and_shown_with_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_ENGINE__WHISPER_CLI", "/none/whisper-cli")
    rows = {row["name"]: row["missing"] for row in data(call("list", "--json"))["providers"]}
    assert rows["whisper_cpp"].startswith("/none/whisper-cli, which engine.whisper_cli names, is not there")
    assert (rows["faster_whisper"], rows["local"]) == ("", "")
    outcome = call("status", "whisper_cpp", "faster_whisper")
    assert outcome.exit_code == 4
    assert [line.split()[:2] for line in outcome.stdout.splitlines()[1:]] == [
        ["faster_whisper", "ok"],
        ["whisper_cpp", "failed"],
    ]
    assert "whisper_cpp: /none/whisper-cli, which engine.whisper_cli names" in outcome.stderr
    (engine,) = data(call("status", "faster_whisper", "--json"))["engines"]
    assert (engine["name"], engine["ok"], engine["code"]) == ("faster_whisper", True, "")


def test_the_status_of_a_dead_provider_is_an_error_with_its_reason() -> None:
    outcome = call("status", "--json")
    assert outcome.exit_code == 4
    (state,) = data(outcome, 4)["providers"]
    assert (state["name"], state["ok"], state["code"], state["breaker"]) == (
        "whisper_server",
        False,
        "ProviderUnreachable",
        "closed",
    )
    assert "127.0.0.1:9" in state["detail"]


def test_the_status_tells_how_the_last_hours_calls_went(tmp_path: Path) -> None:
    with closing(open_records(f"sqlite:///{tmp_path}/data/records.db")) as records:
        for place, code in enumerate(("", "", "ProviderFailed")):
            records.save_attempt(
                ProviderAttempt(
                    "t-1", place, 1, "whisper_server", "base", "m1", time.time() - 60, 1.0, 30.0, error_code=code
                )
            )
    outcome = call("status", "whisper_server", "--json")
    (state,) = data(outcome, 4)["providers"]
    assert state["last_hour"] == {"calls": 3, "succeeded": 2}
    assert (state["queue"], state["dollars_per_minute"], state["hosts"]) == (None, 0.001, [])
    can = state["capabilities"]
    assert (can["languages"], can["words"], can["diarisation"], can["streaming"]) == (None, True, False, False)
    line = call("status", "whisper_server").stdout.splitlines()[1]
    assert "67 % of 3  closed" in line
    assert "$0.001/min" in line


def test_a_test_ends_with_the_step_that_fails() -> None:
    outcome = call("test", "whisper_server", "--json")
    assert outcome.exit_code == 4
    assert [(step["name"], step["ok"]) for step in data(outcome, 4)["steps"]] == [("settings", True), ("check", False)]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("test", "siri"), "siri is no provider on another machine; there are openai"),
        (("status", "local"), "local is no provider on another machine"),
        (("test", "openai", "--host", "m2"), "openai has no hosts to choose from"),
        (("test", "ssh_whisper"), "ssh_whisper.hosts is not set"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(arguments: tuple[str, ...], complaint: str) -> None:
    outcome = call(*arguments)
    assert outcome.exit_code == 2
    assert complaint in outcome.stderr
