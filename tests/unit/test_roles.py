"""What holds for every role: its shape, and that what it says of its variables is what it does with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if (path / "tasks").is_dir())
MOST_LINES = 120


def load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text("utf-8")) if path.exists() else None) or {}


def test_there_are_roles() -> None:
    assert {"base", "minio", "pki", "postgresql", "preflight", "redis", "temporal", "worker"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_role_says_of_each_variable_what_it_is_and_what_it_is_by_default(name: str) -> None:
    entries = load(ROLES / name / "meta" / "argument_specs.yml")["argument_specs"].values()
    options = {key: option for entry in entries for key, option in (entry.get("options") or {}).items()}
    stated = {key: option["default"] for key, option in options.items() if "default" in option}
    assert stated == load(ROLES / name / "defaults" / "main.yml")
    assert all(option.get("description") for option in options.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_variables_of_a_role_begin_with_its_name(name: str) -> None:
    public = load(ROLES / name / "defaults" / "main.yml")
    internal = load(ROLES / name / "vars" / "main.yml")
    assert [key for key in public if not key.startswith(f"{name}_")] == []
    assert [key for key in internal if not key.startswith(f"_{name}_")] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_files_of_a_role_can_be_read_at_a_glance(name: str) -> None:
    files = [path for path in (ROLES / name).rglob("*") if path.is_file()]
    assert [str(path) for path in files if len(path.read_text("utf-8").splitlines()) > MOST_LINES] == []


def test_the_playbook_of_the_whole_cluster_plays_every_role() -> None:
    plays = yaml.safe_load((ROLES.parent / "playbooks" / "site.yml").read_text("utf-8"))
    played = {entry["role"] for play in plays for entry in play.get("roles", ())}
    assert played == set(NAMES)
