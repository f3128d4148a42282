from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from v2t.cli.cluster import group
from v2t.cluster.secrets import SECRETS

SAMPLE = Path(__file__).parents[3] / "inventory" / "sample"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample inventory, on a machine without gathered programs."""
    monkeypatch.setenv("V2T_ARTIFACTS", str(tmp_path / "artifacts"))
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


def test_the_sample_lacks_its_secrets_and_the_programs_and_nothing_else(folder: Path) -> None:
    outcome = CliRunner().invoke(group, ["validate", "--inventory", str(folder), "--json"])

    answer = json.loads(outcome.stdout)
    assert outcome.exit_code == 3
    assert answer["data"]["hosts"] == ["m2", "m4-1", "m4-2"]
    messages = [error["message"] for error in answer["errors"]]
    assert len([message for message in messages if "is missing; `v2t cluster init" in message]) == len(SECRETS)
    others = [message for message in messages if "is missing" not in message]
    assert [message.partition(": ")[2].partition(";")[0] for message in others] == [
        "is not encrypted",
        "no third-party programs are here",
    ]


def test_an_inventory_that_is_not_there_names_the_command_that_makes_it(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(group, ["validate", "--inventory", str(tmp_path / "none")])

    assert outcome.exit_code == 2
    assert f"`v2t cluster init {tmp_path}/none` writes one" in outcome.stderr


def test_a_locked_vault_says_what_is_missing(folder: Path) -> None:
    (folder / "group_vars/all/vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")

    outcome = CliRunner().invoke(group, ["validate", "--inventory", str(folder)])

    assert outcome.exit_code == 3
    assert "is encrypted, and its password is not here" in outcome.stderr
