"""What an upgrade brings to each host, and where one can go back to, of what `playbooks/versions.yml` finds there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from v2t.domain.errors import UsageError

Found = Mapping[str, Mapping[str, Any]]
"""Host → what the playbook told of it."""


@dataclass(frozen=True, slots=True)
class Change:
    """A program, or v2t itself, that becomes another on a host."""

    host: str
    program: str
    installed: str
    """Empty: not there yet."""
    wanted: str


def changes_of(found: Found) -> tuple[Change, ...]:
    """What an upgrade would change, host by host; programs that only the servers need are looked for only there."""
    changes = []
    for host, facts in sorted(found.items()):
        pairs = {name: (version, facts["locked"].get(name, version)) for name, version in facts["installed"].items()}
        if facts["locked_release"]:
            pairs["v2t"] = (facts["release"], facts["locked_release"])
        changes += [Change(host, name, old, new) for name, (old, new) in sorted(pairs.items()) if old != new]
    return tuple(changes)


def plan_rollback(found: Found, kept_to: Mapping[str, str], wanted: str = "") -> dict[str, str]:
    """Host → the release that it goes back to; a rollback that broke off is gone on with first.

    Args:
        found: of the hosts that are meant.
        kept_to: host → the release that the inventory has it keep to, if any.
        wanted: a release by name, for all; empty for the one that each host had before.

    Raises:
        UsageError: a host has no such release.
    """
    hosts = {host: facts for host, facts in sorted(found.items()) if facts["release"]}
    if not hosts:
        raise UsageError("none of these hosts has a release of v2t")
    unfinished = {host: kept_to[host] for host in hosts if kept_to.get(host, "") not in {"", hosts[host]["release"]}}
    if wanted:
        return {host: _named(host, facts, wanted) for host, facts in hosts.items()}
    return unfinished or {host: _before(host, facts) for host, facts in hosts.items()}


def _named(host: str, facts: Mapping[str, Any], wanted: str) -> str:
    if wanted != facts["release"] and wanted not in facts["older_releases"]:
        raise UsageError(
            f"{host} has no release {wanted} to go back to; it has {', '.join(facts['older_releases']) or 'none'} "
            f"from before {facts['release']}"
        )
    return wanted


def _before(host: str, facts: Mapping[str, Any]) -> str:
    if not facts["older_releases"]:
        raise UsageError(
            f"{host} has no release from before {facts['release']}, so it cannot go back; --limit leaves it out"
        )
    return str(facts["older_releases"][-1])
