from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from v2t.cli import cluster_init
from v2t.cli.cluster import group
from v2t.cluster import vault


@pytest.fixture(autouse=True)
def _plain_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for ansible-vault, which takes a second."""
    monkeypatch.setattr(vault, "write_vault", lambda folder, _password, text: (folder / vault.VAULT).write_text(text))


def test_each_file_is_a_line_and_no_secret_is_told(tmp_path: Path) -> None:
    options = [
        "--control",
        "m2=10.0.0.2",
        "--worker",
        "m4-1=10.0.0.41",
        "--worker",
        "m4-2=10.0.0.42",
        "--user",
        "admin",
    ]

    outcome = CliRunner().invoke(group, ["init", str(tmp_path), *options])

    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.splitlines()[0] == f"{tmp_path}/hosts.yml: written, with m2, m4-1, m4-2"
    secrets = vault.parse((tmp_path / vault.VAULT).read_text())
    assert not [name for name, value in secrets.items() if value in outcome.output]
    assert "ansible_user: admin" in (tmp_path / "hosts.yml").read_text()


def test_the_steps_are_in_the_json(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(group, ["init", str(tmp_path), "--control", "m2=10.0.0.2", "--json"])

    steps = json.loads(outcome.stdout)["data"]["steps"]
    assert steps[0] == {"path": f"{tmp_path}/hosts.yml", "what": "written, with m2", "changed": True}


@pytest.mark.parametrize(
    "options", [[], ["--control", "m2"], ["--control", "m2=10.0.0.2", "--worker", "../x=10.0.0.3"]]
)
def test_what_is_missing_or_hostile_is_a_usage_error_and_nothing_is_written(tmp_path: Path, options: list[str]) -> None:
    outcome = CliRunner().invoke(group, ["init", str(tmp_path / "new"), *options])

    assert outcome.exit_code == 2
    assert len(outcome.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_at_a_terminal_it_asks_until_the_answers_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_init, "_is_attended", lambda: True)
    answers = "nonsense\nm2=10.0.0.2\nm4-1=10.0.0.41\n\nadmin\n"

    outcome = CliRunner().invoke(group, ["init", str(tmp_path)], input=answers)

    assert outcome.exit_code == 0, outcome.output
    assert "'nonsense': needs HOST=ADDRESS" in outcome.stderr
    hosts = (tmp_path / "hosts.yml").read_text()
    assert "m4-1" in hosts
    assert "ansible_user: admin" in hosts
