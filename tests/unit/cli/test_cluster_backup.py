"""The operator's commands of backups, without hosts: what they run, what they say of the answer, how they end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from v2t.cli import cluster_backup, cluster_options
from v2t.cli.cluster import group
from v2t.cluster.ansible import PlaybookOptions
from v2t.cluster.inventory import Inventory
from v2t.cluster.playbook import Ended
from v2t.cluster.progress import Failure

_BACKUP = {
    "name": "2026-11-26T013000Z",
    "version": "1.0",
    "objects": 2,
    "size_bytes": 1_500_000,
    "without_transcript": 0,
    "verified_at": None,
}


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    inventory = Inventory(tmp_path, {"m2": {}}, {"postgresql": ("m2",)})
    monkeypatch.setattr(cluster_options, "open_inventory", lambda _named, _password: (inventory, None, []))
    return inventory


def _answer(
    monkeypatch: pytest.MonkeyPatch, data: Any, *errors: tuple[str, str], failures: Sequence[Failure] = ()
) -> list[tuple[str, PlaybookOptions, bool]]:
    """Let the program on the host say this; the playbooks that are asked for."""
    asked: list[tuple[str, PlaybookOptions, bool]] = []
    said = {"data": data, "errors": [{"code": code, "message": message} for code, message in errors]}
    told = {} if data is None else {"m2": {"backup": said}}

    def run(
        _inventory: Inventory,
        _password: Path | None,
        name: str,
        options: PlaybookOptions,
        *,
        told_as: Sequence[str],
        changes: bool = True,
    ) -> Ended:
        asked.append((name, options, changes))
        return Ended(2 if failures else 0, Path("/log"), 3.0, {}, failures, told=told)

    monkeypatch.setattr(cluster_backup, "run", run)
    return asked


def test_a_backup_is_made_and_described(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _answer(monkeypatch, {"backup": _BACKUP | {"without_transcript": 1}, "removed": ["2026-11-19T013000Z"]})
    outcome = CliRunner().invoke(group, ["backup", "create"])
    assert outcome.exit_code == 0, outcome.output
    assert asked == [("backup_create", PlaybookOptions(), True)]
    assert outcome.stdout.splitlines() == [
        "2026-11-26T013000Z is made: 2 objects, 1.5 MB with the databases",
        "2026-11-19T013000Z has left for it",
        "of 1 completed job there was no transcript to copy: deleted, or lost before",
    ]


def test_backups_are_listed(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    _answer(monkeypatch, {"folder": "/b", "backups": [_BACKUP, _BACKUP | {"verified_at": 0.5}]})
    lines = CliRunner().invoke(group, ["backup", "list"]).stdout.splitlines()
    assert lines[1].split() == ["2026-11-26T013000Z", "1.5", "MB", "2", "1.0", "-"]
    assert lines[2].endswith("1970-01-01 00:00 UTC")


def test_that_there_is_none_is_said(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    _answer(monkeypatch, {"folder": "/b", "backups": []})
    assert CliRunner().invoke(group, ["backup", "list"]).stdout == "There is no backup yet.\n"


def test_damage_is_told_in_the_words_of_the_host_and_fails(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = ("StorageDamaged", "2026-11-26T013000Z: audio/audio/ab: its content /b/objects/ab is damaged")
    failure = Failure("m2", "End where it reports an error", "the same")
    asked = _answer(monkeypatch, {"backup": _BACKUP}, problem, failures=[failure])
    outcome = CliRunner().invoke(group, ["backup", "verify"])
    assert outcome.exit_code == 1
    assert outcome.stderr == f"v2t: {problem[1]}\n"
    assert asked[0][1].variables == {"backup_name": "latest"}
    assert asked[0][2] is False


def test_a_server_that_is_away_is_an_error_of_connection(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    _answer(monkeypatch, None, failures=[Failure("m2", "Gathering Facts", "no route", unreachable=True)])
    assert CliRunner().invoke(group, ["backup", "create"]).exit_code == 5
    _answer(monkeypatch, {}, ("RecordsUnreachable", "PostgreSQL does not answer"))
    assert CliRunner().invoke(group, ["backup", "create"]).exit_code == 5


def test_nothing_is_brought_back_unasked(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _answer(monkeypatch, {"backup": _BACKUP, "objects_sent": 1})
    assert CliRunner().invoke(group, ["backup", "restore"]).exit_code == 2
    assert asked == []
    said = CliRunner().invoke(group, ["backup", "restore", "2026-11-26T013000Z", "--yes", "--json"])
    assert json.loads(said.stdout)["data"]["objects_sent"] == 1
    assert [(name, options.variables) for name, options, _ in asked] == [
        ("backup_restore", {"backup_name": "2026-11-26T013000Z"})
    ]


def test_a_backup_of_another_folder_must_be_there(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = _answer(monkeypatch, {"folder": "/b", "backups": []})
    outcome = CliRunner().invoke(group, ["backup", "restore", "--from", str(tmp_path / "mine"), "--yes"])
    assert outcome.exit_code == 2
    assert "there is no whole backup" in outcome.stderr
    assert [name for name, _, _ in asked] == ["backup_list"]
