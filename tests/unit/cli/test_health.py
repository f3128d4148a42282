from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from v2t.cli.health import command, render
from v2t.domain.errors import StoreUnreachable
from v2t.health import HealthReport
from v2t.health.report import broken, fine, weak

REPORT = HealthReport(
    (
        fine("temporal", "there", required=True),
        weak("redis", "gone", "start it"),
        broken("object store", StoreUnreachable, "no answer", "start it too", required=True),
    ),
    0.25,
)


def test_a_line_for_each_part_with_its_next_step() -> None:
    assert render(REPORT) == [
        "ok        temporal      there",
        "degraded  redis         gone → start it",
        "failed    object store  no answer → start it too",
        "cannot transcribe (looked at in 0.2 s)",
    ]


def test_colour_only_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = render(REPORT)
    assert lines[0].startswith("\x1b[32")
    assert lines[2].startswith("\x1b[31")


def test_control_characters_of_a_server_do_not_act() -> None:
    (line, _) = render(HealthReport((fine("x", "a\x1b[2Jb\nc"),), 0.1))
    assert line == "ok  x  a\\x1b[2Jb\\nc"


def test_json_and_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_TEMPORAL__ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("V2T_STORAGE__ENDPOINT", "127.0.0.1:1")
    outcome = CliRunner().invoke(command, ["--json", "--timeout", "5"])
    document = json.loads(outcome.stdout)
    assert (outcome.exit_code, document["exit_code"], document["schema"]) == (5, 5, "v2t.result/1")
    assert document["data"]["can_transcribe"] is False
    assert {part["name"] for part in document["data"]["parts"]} == {"temporal", "object store", "database", "redis"}


def test_watching_is_for_people() -> None:
    outcome = CliRunner().invoke(command, ["--json", "--watch"])
    assert outcome.exit_code == 2
    assert "--watch is for people" in outcome.output
