"""What a deployment would change, from the results of a run in check mode: which tasks, and what each of them risks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from v2t.cluster.files import load_yaml
from v2t.cluster.progress import Outcome


class Risk(StrEnum):
    """What a change may do to those who use the cluster."""

    NONE = "none"
    RESTART = "restart"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Change:
    """A task that would change something on a host."""

    host: str
    role: str
    task: str
    risk: Risk
    effect: str = ""
    """What comes of it, in words; empty where nobody notices."""


@dataclass(frozen=True, slots=True)
class Restart:
    """A handler that would run on a host."""

    host: str
    role: str
    handler: str
    effect: str


_EFFECTS = {
    "Restart PostgreSQL": "PostgreSQL is away for a moment; workers wait",
    "Restart all MinIO nodes": "all nodes restart together, and the store is away for a moment; workers wait",
    "Restart the MinIO nodes in turn": "node by node, 35 s apart; the store answers all the time",
    "Restart Redis": "the cache is away for a moment",
    "Restart Temporal": "Temporal is away for a moment; workers wait",
    "Restart Temporal's web interface": "the web interface is away for a moment",
    "Restart the workers": "worker by worker on each host; each ends what it computes first",
    "Restart the journal": "nobody notices",
    "Reload SSH": "nobody notices",
}
"""Handler → what its restart means; as docs/operations.md says."""

_DATA = {
    ("temporal", "schema"): "the schema of Temporal's databases changes",
    ("postgresql", "databases"): "databases or their accounts change",
    ("worker", "prepare"): "v2t's tables, buckets or search attributes change",
}
"""(role, file of tasks) → what of the data changes."""

_EXPRESSION = re.compile(r"\\\{\\\{.*?\\\}\\\}")


@dataclass(frozen=True, slots=True)
class Role:
    """What a role's files say of its tasks."""

    handlers: frozenset[str] = frozenset()
    notifies: Sequence[tuple[re.Pattern[str], str, Sequence[str] | None]] = ()
    """(a task's name, the file it is in, the handlers that it notifies); None: an expression names them."""

    def find(self, task: str) -> tuple[str, Sequence[str] | None]:
        """The file of a task, and the handlers that it notifies."""
        return next(((file, names) for name, file, names in self.notifies if name.fullmatch(task)), ("", ()))


def read_roles(folder: Path) -> Mapping[str, Role]:
    """All roles of a folder."""
    return {path.name: _read_role(path) for path in sorted(folder.iterdir()) if (path / "tasks").is_dir()}


def _read_role(path: Path) -> Role:
    handlers = [
        task["name"]
        for file in sorted((path / "handlers").glob("*.yml"))
        for task in _flatten(load_yaml(file.read_text(encoding="utf-8")))
    ]
    notifies = [
        (_as_pattern(task["name"]), file.stem, _notified(task.get("notify", ())))
        for file in sorted((path / "tasks").rglob("*.yml"))
        for task in _flatten(load_yaml(file.read_text(encoding="utf-8")))
        if "name" in task
    ]
    return Role(frozenset(handlers), tuple(notifies))


def _flatten(tasks: Any) -> Iterator[Mapping[str, Any]]:
    for task in tasks or ():
        yield task
        for part in ("block", "rescue", "always"):
            yield from _flatten(task.get(part))


def _as_pattern(name: str) -> re.Pattern[str]:
    return re.compile(_EXPRESSION.sub(".*", re.escape(name)))


def _notified(notify: Any) -> Sequence[str] | None:
    names = [notify] if isinstance(notify, str) else list(notify)
    return None if any("{{" in name for name in names) else names


def make_plan(outcomes: Sequence[Outcome], roles: Mapping[str, Role]) -> tuple[list[Change], list[Restart]]:
    """What would change, and what would restart, host by host.

    Args:
        outcomes: of a run in check mode, in their order; a handler is among them where it was notified.
        roles: of the playbook.
    """
    by_host: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_host.setdefault(outcome.host, []).append(outcome)
    changes: list[Change] = []
    restarts: list[Restart] = []
    for host in sorted(by_host):
        woken = [_restart(outcome) for outcome in by_host[host] if _is_handler(outcome, roles)]
        restarts += [restart for restart in dict.fromkeys(woken) if restart.effect]
        changes += _changes(by_host[host], roles, {restart.handler: restart for restart in woken})
    return changes, restarts


def _changes(outcomes: Sequence[Outcome], roles: Mapping[str, Role], woken: Mapping[str, Restart]) -> Iterator[Change]:
    for place, outcome in enumerate(outcomes):
        if outcome.state != "changed" or _is_handler(outcome, roles):
            continue
        name, task = _split(outcome)
        file, notified = roles.get(name, Role()).find(task)
        if notified is None:  # by the role that called this one
            owner = next((role for role, _ in map(_split, outcomes[place:]) if role != name), "")
            notified = [handler for handler, restart in woken.items() if restart.role == owner]
        effect = _DATA.get((name, file), "")
        effects = [woken[handler].effect for handler in notified if handler in woken and woken[handler].effect]
        risk = Risk.DATA if effect else Risk.RESTART if effects else Risk.NONE
        yield Change(outcome.host, name, task, risk, "; ".join(filter(None, dict.fromkeys([effect, *effects]))))


def _restart(outcome: Outcome) -> Restart:
    role, handler = _split(outcome)
    default = f"{handler.removeprefix('Restart ')} restarts" if handler.startswith("Restart ") else ""
    return Restart(outcome.host, role, handler, _EFFECTS.get(handler, default))


def _is_handler(outcome: Outcome, roles: Mapping[str, Role]) -> bool:
    role, task = _split(outcome)
    return task in roles.get(role, Role()).handlers


def _split(outcome: Outcome) -> tuple[str, str]:
    role, _, task = outcome.task.rpartition(" : ")
    return role, task
