from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from v2t.cli.cluster import group

_FORK = """
artifacts_programs:
  - {name: minio, version: v9, licence: AGPL-3.0-or-later, binary: silo, path: %s}
"""


def test_programs_are_listed_with_their_state(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(group, ["artifacts", "list", "--folder", str(tmp_path), "--json"])

    found = {item["name"]: item for item in json.loads(outcome.stdout)["data"]["artifacts"]}
    assert found["minio"]["state"] == "missing"
    assert found["temporal"]["version"] == "v1.31.2"


def test_a_fork_is_fetched_and_verified_under_its_own_name(tmp_path: Path) -> None:
    origin, sources = tmp_path / "origin", tmp_path / "sources.yml"
    origin.write_text("a program")
    sources.write_text(_FORK % origin)
    options = ["--only", "minio", "--arch", "arm64", "--folder", str(tmp_path / "cache"), "--sources", str(sources)]

    before = CliRunner().invoke(group, ["artifacts", "verify", *options])
    fetched = CliRunner().invoke(group, ["artifacts", "fetch", *options])
    after = CliRunner().invoke(group, ["artifacts", "verify", *options])

    assert (before.exit_code, fetched.exit_code, after.exit_code) == (3, 0, 0)
    assert "minio is missing" in before.stderr
    assert fetched.stdout == f"minio is at {tmp_path}/cache/arm64/minio/silo\n"
    assert after.stdout == "minio v9 is whole\n"


def test_an_unknown_program_is_a_usage_error(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(group, ["artifacts", "fetch", "--only", "nginx", "--folder", str(tmp_path)])

    assert outcome.exit_code == 2
    assert "there is no program 'nginx'" in outcome.stderr
