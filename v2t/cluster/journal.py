"""What a run leaves in the inventory's folder: the lock while it lasts, its full log, and a line of who did what."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from v2t.cluster.progress import Outcome
from v2t.domain.errors import ClusterBusy, StorageUnwritable

LOCK = ".lock"
AUDIT = "audit.log"
LOGS = "log"
_HIDDEN = "***"
_SHORTEST_HIDDEN = 8
_TOLD = ("cmd", "msg", "stdout", "stderr", "module_stderr", "warnings")


@contextmanager
def hold_cluster(folder: Path, command: str, now: datetime) -> Iterator[int]:
    """Let nobody else change this cluster meanwhile; yields the lock's descriptor.

    A child that is given the descriptor holds the lock as long as it lives, should this process be killed.

    Raises:
        ClusterBusy: another has it; the message says who.
        StorageUnwritable: the lock cannot be written.
    """
    try:
        lock = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise StorageUnwritable(f"{folder / LOCK} cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ClusterBusy(f"{_holder(lock.read())}; wait until that has ended") from None
        lock.truncate(0)
        holder = {"user": operator(), "process": os.getpid(), "since": _stamp(now), "command": command}
        lock.write(json.dumps(holder))
        lock.flush()
        try:
            yield lock.fileno()
        finally:
            lock.truncate(0)
            # Also for those who share the descriptor: of an Ansible that was interrupted, some processes end later.
            fcntl.flock(lock, fcntl.LOCK_UN)


def operator() -> str:
    """Who runs this, and where; behind sudo, who called it."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        user = str(os.getuid())
    return f"{user}@{platform.node()}"


def write_audit(folder: Path, command: Sequence[str], result: str, began: datetime, ended: datetime) -> None:
    """Add a line: time, who, command, result, seconds; between tabs.

    Raises:
        StorageUnwritable: it cannot be written.
    """
    seconds = f"{(ended - began).total_seconds():.0f} s"
    fields = (_stamp(began), operator(), shlex.join(command), result, seconds)
    line = "\t".join("".join(c if c.isprintable() else "?" for c in text) for text in fields)
    try:
        with (folder / AUDIT).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise StorageUnwritable(f"{folder / AUDIT} cannot be written: {error.strerror}") from error


def open_log(folder: Path, operation: str, began: datetime) -> IO[str]:
    """A new log, which only its owner reads: it may hold what hosts said.

    Raises:
        StorageUnwritable: it cannot be written.
    """
    path = folder / LOGS / f"{began:%Y%m%dT%H%M%SZ}-{operation}.log"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        return path.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StorageUnwritable(f"{path} cannot be written: {error.strerror}") from error


@dataclass(slots=True)
class Redaction:
    """Hides known secrets in text."""

    secrets: Sequence[str] = field(default_factory=tuple)

    @classmethod
    def of(cls, variables: Mapping[str, Mapping[str, Any]]) -> Redaction:
        """Hide the values of every `vault_` variable of these hosts."""
        found = {
            value
            for values in variables.values()
            for name, value in values.items()
            if name.startswith("vault_") and isinstance(value, str) and len(value) >= _SHORTEST_HIDDEN
        }
        return cls(sorted(found, key=len, reverse=True))

    def hide(self, text: str) -> str:
        """The text with every secret replaced."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return text


def log_lines(outcome: Outcome) -> list[str]:
    """A result as the log tells it: all that was said where something changed or failed."""
    lines = [f"{outcome.state}: {outcome.host}: {outcome.task}"]
    if outcome.state in {"ok", "skipped"}:
        return lines
    for details in (outcome.details, *outcome.details.get("results", ())):
        told = "\n".join(f"{key}: {_as_text(details[key])}" for key in _TOLD if details.get(key))
        lines += [f"    {line}" for line in (*told.splitlines(), *diff_lines(details))]
    return lines


def diff_lines(details: Mapping[str, Any]) -> list[str]:
    """What a task changed, as a unified diff."""
    import difflib

    parts = details.get("diff") or ()
    lines: list[str] = []
    for part in [parts] if isinstance(parts, Mapping) else parts:
        if prepared := part.get("prepared"):
            lines += str(prepared).splitlines()
        if "before" in part or "after" in part:
            before, after = (_as_text(part.get(key) or "").splitlines() for key in ("before", "after"))
            old, new = (str(part.get(f"{key}_header", key)) for key in ("before", "after"))
            lines += difflib.unified_diff(before, after, old, new, lineterm="")
    return lines


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True)


def _holder(text: str) -> str:
    try:
        known = json.loads(text)
        return f"{known['user']} has run `{known['command']}` since {known['since']} (process {known['process']})"
    except (ValueError, KeyError, TypeError):
        return "another operator changes this cluster now"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
