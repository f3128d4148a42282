"""The operator's backups of a cluster."""

from __future__ import annotations

from typing import Any

from support.operator import Operator


def backup(operator: Operator, verb: str, *arguments: str) -> dict[str, Any]:
    """What `v2t cluster backup …` says, whatever comes of it."""
    return operator.run("backup", verb, "--inventory", str(operator.inventory), *arguments)


def make_backup(operator: Operator, *arguments: str) -> str:
    """The name of a new backup; it must succeed."""
    said = backup(operator, "create", *arguments)
    assert said["exit_code"] == 0, said["errors"]
    return str(said["data"]["backup"]["name"])


def restore_backup(operator: Operator, *arguments: str) -> dict[str, Any]:
    """What is said of a restoration; it must succeed."""
    said = backup(operator, "restore", "--yes", *arguments)
    assert said["exit_code"] == 0, said["errors"]
    data: dict[str, Any] = said["data"]
    return data
