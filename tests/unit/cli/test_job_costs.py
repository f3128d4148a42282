from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from v2t.cli.jobs import group
from v2t.db.records import open_records
from v2t.domain.records import ProviderAttempt

PAID = ProviderAttempt("t-1", 0, 1, "openai", "whisper-1", "m4-1", 1_800_000_000.0, 1.0, 90.0, dollars=0.009)


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_STANDALONE__FOLDER", str(tmp_path))
    with closing(open_records(f"sqlite:///{tmp_path}/records.db")) as opened:
        for attempt in (PAID, replace(PAID, job_id="t-2", started_at=PAID.started_at + 40 * 86_400)):
            opened.save_attempt(attempt)


def test_costs_are_a_table() -> None:
    outcome = CliRunner().invoke(group, ["cost", "--by", "month"])
    assert outcome.exit_code == 0
    assert outcome.stdout.splitlines() == [
        "MONTH    JOBS  AUDIO    COST",
        "2027-01  1     0:01:30  $0.0090",
        "2027-02  1     0:01:30  $0.0090",
    ]


def test_a_span_of_time_counts_alone() -> None:
    outcome = CliRunner().invoke(group, ["cost", "--until", "2027-02-01", "--json"])
    assert json.loads(outcome.stdout)["data"]["costs"] == [
        {"key": "openai", "jobs": 1, "audio_seconds": 90.0, "dollars": 0.009}
    ]


def test_nothing_is_said_as_such() -> None:
    outcome = CliRunner().invoke(group, ["cost", "--until", "2020-01-01"])
    assert outcome.stdout == "Nothing was transcribed then.\n"
