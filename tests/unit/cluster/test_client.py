from __future__ import annotations

from pathlib import Path

import pytest

from v2t.cluster.client import activate, describe
from v2t.domain.errors import StorageUnwritable


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A cluster's settings for its operator."""
    path = tmp_path / "lab/client/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("[temporal]\n")
    return path


def test_the_first_cluster_becomes_the_one_in_use(config: Path, tmp_path: Path) -> None:
    user_file = tmp_path / "home/.config/v2t/config.toml"

    assert activate(config, user_file)
    assert user_file.resolve() == config
    assert activate(config, user_file)


def test_settings_that_are_not_ours_stay(config: Path, tmp_path: Path) -> None:
    user_file = tmp_path / "config.toml"
    user_file.write_text("# mine\n")

    assert not activate(config, user_file)
    assert user_file.read_text() == "# mine\n"
    assert f"export V2T_CONFIG={config}" in describe(config, user_file, active=False)


def test_another_cluster_stays_in_use_until_its_inventory_is_gone(config: Path, tmp_path: Path) -> None:
    other, user_file = tmp_path / "other.toml", tmp_path / "config.toml"
    other.write_text("")
    user_file.symlink_to(other)

    assert not activate(config, user_file)
    other.unlink()
    assert activate(config, user_file)
    assert user_file.resolve() == config


def test_an_account_without_a_home_is_told_how_to_use_the_cluster(config: Path) -> None:
    assert not activate(config, None)
    assert f"export V2T_CONFIG={config}" in describe(config, None, active=False)


def test_a_link_that_cannot_be_made_is_named(config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageUnwritable, match=r"file/config\.toml cannot be written"):
        activate(config, tmp_path / "file/config.toml")
