"""How a playbook's run comes along, from the lines that Ansible's `jsonl` output writes: no I/O, no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_STARTS = frozenset({"v2_playbook_on_task_start", "v2_playbook_on_handler_task_start", "v2_runner_on_start"})
_OUTCOMES = {
    "v2_runner_on_ok": "ok",
    "v2_runner_on_failed": "failed",
    "v2_runner_on_unreachable": "unreachable",
    "v2_runner_on_skipped": "skipped",
}
_OF_ARGUMENTS = "Validating arguments against arg spec"
_SAYS_NOTHING = frozenset({"", "non-zero return code", "One or more items failed", "MODULE FAILURE"})


@dataclass(slots=True)
class RoleOnHost:
    """What a role has done on a host; one that comes again begins anew."""

    role: str
    host: str
    began_at: float
    at: float
    task: str = ""
    ok: int = 0
    changed: int = 0
    failed: int = 0

    @property
    def seconds(self) -> float:
        """From its first task's start to its last result."""
        return self.at - self.began_at


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a host was given up."""

    host: str
    task: str
    message: str
    unreachable: bool = False

    def __str__(self) -> str:
        return f"{self.host}: {self.task}: {self.message}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A task's result on one host."""

    host: str
    task: str
    state: str
    """ok, changed, failed, unreachable or skipped."""
    details: Mapping[str, Any]


@dataclass(slots=True)
class Run:
    """All of a run; `feed` it line by line."""

    role: str = ""
    task: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    """Role → how long it took, on all hosts and in all its turns."""
    open: dict[str, RoleOnHost] = field(default_factory=dict)
    """Host → what the present role does there."""
    done: list[RoleOnHost] = field(default_factory=list)
    recap: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Host → numbers of ok, changed, failures, unreachable, skipped; empty until the end."""
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Host → what the playbook found there: the data of its `set_stats` with `per_host`; empty until the end."""
    _task_began_at: float = 0.0
    _at: float = 0.0
    _play: str = ""
    _last_failures: dict[str, Failure] = field(default_factory=dict)

    def feed(self, line: str, now: float) -> list[Outcome] | None:
        """Take one line; the results in it, or None where it is not an event."""
        event = _parse(line)
        if event is None:
            return None
        if self.role:
            self.seconds[self.role] = self.seconds.get(self.role, 0.0) + now - self._at
        self._at = now
        name = event["_event"]
        if name == "v2_playbook_on_play_start":
            self._play = event["play"]["name"]
        elif name in _STARTS:
            self._begin(event["task"]["name"], now)
        elif name == "v2_playbook_on_stats":
            self._close()
            self.recap = event["stats"]
            self.told = event.get("custom_stats", {})
        elif name in _OUTCOMES:
            return [self._note(host, event, now) for host in event["hosts"]]
        return []

    def finish(self) -> list[RoleOnHost]:
        """What has ended since the last call."""
        ended, self.done = self.done, []
        return ended

    def failures(self) -> list[Failure]:
        """The hosts that did not come through, and why; a failure that a playbook expects is none."""
        given_up = [host for host, counts in self.recap.items() if counts["failures"] or counts["unreachable"]]
        return [self._last_failures[host] for host in given_up if host in self._last_failures]

    def _begin(self, full_name: str, now: float) -> None:
        role, _, task = full_name.rpartition(" : ")
        role = role or self._play
        if task.startswith(_OF_ARGUMENTS):  # with the whole description of the role behind it
            task = "Check the variables"
        if role != self.role:
            self._close()
        self.role, self.task, self._task_began_at = role, task, now

    def _close(self) -> None:
        self.done += self.open.values()
        self.open = {}

    def _note(self, host: str, event: Mapping[str, Any], now: float) -> Outcome:
        details = event["hosts"][host]
        state = _OUTCOMES[event["_event"]]
        if state == "ok" and details.get("changed"):
            state = "changed"
        entry = self.open.setdefault(host, RoleOnHost(self.role, host, self._task_began_at, now))
        entry.at, entry.task = now, self.task
        entry.ok += state in {"ok", "changed"}
        entry.changed += state == "changed"
        entry.failed += state in {"failed", "unreachable"}
        if state in {"failed", "unreachable"}:
            message = failure_message(details)
            self._last_failures[host] = Failure(host, event["task"]["name"], message, state == "unreachable")
        return Outcome(host, event["task"]["name"], state, details)


def failure_message(details: Mapping[str, Any]) -> str:
    """The line of a failed result that says why."""
    if details.get("censored"):
        return "it failed, and its output is hidden because it holds secrets"
    items = [item for item in details.get("results", ()) if item.get("failed")]
    if items:
        label = items[0].get("_ansible_item_label", items[0].get("item", ""))
        return f"{failure_message(items[0])} (item {label})"
    text = str(details.get("msg", "")).strip().removeprefix("Task failed: ")
    if text not in _SAYS_NOTHING and not text.startswith("MODULE FAILURE"):
        unpacking = _unpacking(str(details.get("extract_results", {}).get("err", "")))
        return " ".join(f"{text}: {unpacking}".split()) if unpacking else " ".join(text.split())
    said = _last_line(details, "stderr") or _last_line(details, "module_stderr") or _last_line(details, "stdout")
    code = f"exit code {details['rc']}" if "rc" in details else text or "it failed"
    return f"{said} ({code})" if said else code


def _unpacking(said: str) -> str:
    """What tar says is wrong: its first line, but on a full disk that is of the file that no longer fitted."""
    lines = said.strip().splitlines()
    return next((line for line in lines if "No space left" in line), lines[0] if lines else "")


def _last_line(details: Mapping[str, Any], key: str) -> str:
    lines = [line for line in str(details.get(key, "")).splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _parse(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "_event" in event else None
