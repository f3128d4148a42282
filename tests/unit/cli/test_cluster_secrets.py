from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from v2t.cli import cluster_options
from v2t.cli.cluster import group
from v2t.cluster import playbook, vault
from v2t.cluster.inventory import Inventory
from v2t.cluster.journal import hold_cluster
from v2t.cluster.playbook import Ended, OnChange, PlaybookRun
from v2t.cluster.progress import Failure


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with an encrypted vault, and what is in it: Ansible takes most of a second to close or open one."""
    folder = tmp_path_factory.mktemp("original")
    text, _ = vault.fill("")
    vault.write_vault(folder, vault.make_password(folder), text)
    return folder, vault.parse(text)


@pytest.fixture
def folder(original: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an inventory with an encrypted vault."""
    shutil.copytree(original[0], tmp_path, dirs_exist_ok=True)

    def open_inventory(_named: Path | None, _password: Path | None) -> tuple[Inventory, Path, list[Exception]]:
        inventory = Inventory(tmp_path, {"m2": secrets(tmp_path)}, {"v2t": ("m2",)})
        return inventory, tmp_path / vault.PASSWORD, []

    monkeypatch.setattr(cluster_options, "open_inventory", open_inventory)
    return tmp_path


@pytest.fixture
def runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[PlaybookRun]:
    """The playbooks that were run, none of which comes to its end on m2."""
    found: list[PlaybookRun] = []

    def run(run: PlaybookRun, _on_change: OnChange) -> Ended:
        found.append(run)
        counts = {"ok": 3, "changed": 1, "failures": 1, "unreachable": 0, "skipped": 0}
        return Ended(2, folder / "log", 61.0, {"m2": counts}, [Failure("m2", "Restart Redis", "no such unit")])

    monkeypatch.setattr(playbook, "run_playbook", run)
    return found


def secrets(folder: Path) -> dict[str, str]:
    return vault.parse(vault.read_vault(folder, folder / vault.PASSWORD))


def encrypted(folder: Path) -> str:
    return (folder / vault.VAULT).read_text()


def test_the_vault_is_written_first_and_the_hosts_are_brought_to_it(
    original: tuple[Path, dict[str, str]], folder: Path, runs: list[PlaybookRun]
) -> None:
    _, before = original

    outcome = CliRunner().invoke(group, ["secrets", "rotate", "redis_password", "--yes"])

    after = secrets(folder)
    assert {name for name, value in after.items() if value != before[name]} == {"vault_redis_password"}
    assert Path(runs[0].command[-1]).name == "secrets.yml"
    assert "--tags=redis,worker_configure,worker_run" in runs[0].command
    assert '--extra-vars={"secrets_stop_workers": false}' in runs[0].command
    assert "v2t: the cache restarts empty, and the workers restart" in outcome.stderr
    assert "m2: Restart Redis: no such unit" in outcome.stderr
    assert "the vault has the new secrets, and some hosts the old ones" in outcome.stderr
    assert outcome.exit_code == 1


def test_no_log_shows_the_new_secrets(folder: Path, runs: list[PlaybookRun]) -> None:
    outcome = CliRunner().invoke(group, ["secrets", "rotate", "--yes"])

    for name, value in secrets(folder).items():
        assert value not in outcome.output
        if name.endswith(("_password", "_secret")):
            assert runs[0].redaction.hide(value) == "***"


def test_while_another_operator_changes_the_cluster_the_vault_stays(folder: Path, runs: list[PlaybookRun]) -> None:
    before = encrypted(folder)

    with hold_cluster(folder, "v2t cluster deploy", datetime.now(UTC)):
        outcome = CliRunner().invoke(group, ["secrets", "rotate", "--yes"])

    assert outcome.exit_code == 1
    assert encrypted(folder) == before
    assert not runs


def test_one_that_cannot_be_exchanged_changes_nothing(folder: Path, runs: list[PlaybookRun]) -> None:
    before = encrypted(folder)

    outcome = CliRunner().invoke(group, ["secrets", "rotate", "vault_minio_kms_key", "--yes"])

    assert outcome.exit_code == 2
    assert "would be lost" in outcome.stderr
    assert (encrypted(folder), runs) == (before, [])


def test_new_secrets_must_be_meant(folder: Path, runs: list[PlaybookRun]) -> None:
    before = encrypted(folder)

    outcome = CliRunner().invoke(group, ["secrets", "rotate"])

    assert outcome.exit_code == 2
    assert (encrypted(folder), runs) == (before, [])
