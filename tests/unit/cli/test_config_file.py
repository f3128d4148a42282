from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from v2t.cli.config import group, render_file
from v2t.config import Settings, describe_settings, load_file


def test_the_written_file_changes_nothing_until_it_is_edited(tmp_path: Path) -> None:
    path = tmp_path / "v2t.toml"
    path.write_text(render_file(), encoding="utf-8")
    settings = load_file(path)
    assert settings.model_dump() == Settings().model_dump()
    assert {settings.source_of(setting.name) for setting in describe_settings()} == {"default"}


def test_every_key_of_the_written_file_is_a_setting_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    path = tmp_path / "v2t.toml"
    path.write_text(re.sub(r"(?m)^# (\w+ = )", r"\1", render_file()), encoding="utf-8")
    settings = load_file(path)
    assert settings.model_dump() == Settings().model_dump()
    assert {settings.source_of(setting.name) for setting in describe_settings()} == {f"file {path}"}


def test_show_tells_each_value_and_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_ENGINE__SLOTS", "3")
    run = CliRunner().invoke(group, ["show", "--json"])
    settings = {row["name"]: (row["value"], row["source"]) for row in json.loads(run.stdout)["data"]["settings"]}
    assert run.exit_code == 0
    assert settings["engine.slots"] == (3, "environment V2T_ENGINE__SLOTS")
    assert len(settings) == len(list(describe_settings()))


def test_init_writes_a_private_file_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "v2t.toml"
    first = CliRunner().invoke(group, ["init", "--path", str(path)])
    path.write_text("[engine]\nslots = 1\n", encoding="utf-8")
    second = CliRunner().invoke(group, ["init", "--path", str(path)])
    assert (first.exit_code, second.exit_code) == (0, 2)
    assert "exists already" in second.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text(encoding="utf-8") == "[engine]\nslots = 1\n"


@pytest.mark.parametrize(("text", "exit_code"), [("[engine]\nslots = 1", 0), ("[engine]\nslots = -1", 3)])
def test_validate_answers_by_its_exit_code(tmp_path: Path, text: str, exit_code: int) -> None:
    path = tmp_path / "v2t.toml"
    path.write_text(text, encoding="utf-8")
    assert CliRunner().invoke(group, ["validate", str(path)]).exit_code == exit_code
