"""Where the playbooks, roles, templates and the sample inventory of this installation are."""

from __future__ import annotations

from pathlib import Path


def shipped(name: str) -> Path:
    """The folder or file of this name: in the wheel below `v2t/share`, or in the working tree."""
    package = Path(__file__).parents[1]
    share = package / "share"
    return (share if share.exists() else package.parent) / name
