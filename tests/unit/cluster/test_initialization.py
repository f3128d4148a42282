from __future__ import annotations

from pathlib import Path

import pytest

from v2t.cluster import vault
from v2t.cluster.initialization import Wishes, initialize
from v2t.cluster.machines import Machine
from v2t.domain.errors import InventoryInvalid, UsageError

WISHES = Wishes(Machine("m2", "10.0.0.2"), [Machine("m4-1", "10.0.0.41")])
ANOTHER = Wishes(workers=[Machine("m4-2", "10.0.0.42")])


@pytest.fixture(autouse=True)
def _plain_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for ansible-vault, which takes a second; test_vault.py has the real one."""

    def write(folder: Path, _password: Path, text: str) -> None:
        (folder / vault.VAULT).write_text("$ANSIBLE_VAULT;" + text)

    def read(folder: Path, _password: Path | None) -> str:
        path = folder / vault.VAULT
        return path.read_text().removeprefix("$ANSIBLE_VAULT;") if path.exists() else ""

    monkeypatch.setattr(vault, "write_vault", write)
    monkeypatch.setattr(vault, "read_vault", read)


def _contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_new_inventory_has_everything_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    first = initialize(tmp_path / "new", WISHES)
    before = _contents(tmp_path / "new")
    second = initialize(tmp_path / "new", WISHES)

    assert set(before) == {
        "hosts.yml",
        "ansible.cfg",
        ".gitignore",
        ".vault-password",
        "group_vars/all/main.yml",
        "group_vars/all/vault.yml",
    }
    assert all(step.changed for step in first)
    assert not any(step.changed for step in second)
    assert _contents(tmp_path / "new") == before


def test_the_machine_that_writes_an_inventory_may_use_the_cluster(tmp_path: Path) -> None:
    initialize(tmp_path / "near", Wishes(Machine("m2", "127.0.0.1")))
    initialize(tmp_path / "unknown", Wishes(Machine("m2", "no-such-host.invalid")))

    assert "firewall_clients: [127.0.0.1]\n" in (tmp_path / "near/group_vars/all/main.yml").read_text()
    assert "firewall_clients: []\n" in (tmp_path / "unknown/group_vars/all/main.yml").read_text()


def test_the_operator_is_told_to_keep_the_password_in_another_place(tmp_path: Path) -> None:
    steps = initialize(tmp_path, WISHES)

    assert any(step.path.name == ".vault-password" and "another place" in step.what for step in steps)


def test_a_worker_and_a_lost_secret_are_added_and_nothing_else_is_changed(tmp_path: Path) -> None:
    initialize(tmp_path, WISHES)
    path = tmp_path / vault.VAULT
    before = vault.parse(vault.read_vault(tmp_path, None))
    kept = [line for line in path.read_text().splitlines(keepends=True) if "redis" not in line]
    path.write_text("".join(kept))
    (tmp_path / "group_vars/all/main.yml").write_text("v2t_name: ours\n")

    steps = initialize(tmp_path, ANOTHER)

    after = vault.parse(vault.read_vault(tmp_path, None))
    assert {name for name in after if after[name] != before[name]} == {"vault_redis_password"}
    assert (tmp_path / "group_vars/all/main.yml").read_text() == "v2t_name: ours\n"
    assert [step.what for step in steps if step.changed] == ["added m4-2", "made vault_redis_password; encrypted"]


def test_a_vault_in_plain_text_is_encrypted(tmp_path: Path) -> None:
    initialize(tmp_path, WISHES)
    path = tmp_path / vault.VAULT
    path.write_text(path.read_text().removeprefix("$ANSIBLE_VAULT;"))

    steps = initialize(tmp_path, WISHES)

    assert [step.what for step in steps if step.changed] == ["encrypted"]


def test_nothing_is_written_where_something_stands_against_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--control"):
        initialize(tmp_path / "new", ANOTHER)
    with pytest.raises(UsageError, match="--user"):
        initialize(tmp_path / "new", Wishes(WISHES.control, user="-l"))
    (tmp_path / "group_vars/all").mkdir(parents=True)
    (tmp_path / vault.VAULT).write_text("- a list\n")
    with pytest.raises(InventoryInvalid):
        initialize(tmp_path, WISHES)

    assert not (tmp_path / "new").exists()
    assert list(_contents(tmp_path)) == [str(vault.VAULT)]
