"""Runs a playbook as a child process: follows it, keeps its log, passes an interruption on."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from v2t.cluster.ansible import complaint
from v2t.cluster.journal import Redaction, hold_cluster, log_lines, open_log, write_audit
from v2t.cluster.progress import Failure, Outcome, Run

_GRACE_SECONDS = 20.0
"""How long Ansible may take to end what it does after an interruption."""

_WORKERS_SECONDS = 2.0
"""How long what it has started may live on after it; then it is killed."""

OnChange = Callable[[Run, Sequence[Outcome]], None]
"""Called after every event, with the results in it."""


@dataclass(frozen=True, slots=True)
class PlaybookRun:
    """What is run, where, and how it is named in the records."""

    folder: Path
    command: Sequence[str]
    """The whole argument list of ansible-playbook."""
    environment: Mapping[str, str]
    operation: str
    """Short, as in the log's name: deploy."""
    told_as: Sequence[str]
    """What the operator typed."""
    redaction: Redaction = field(default_factory=Redaction)
    changes: bool = True
    """Whether it is meant to change hosts: then nobody else may meanwhile, and a line of the record says who did."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it came out."""

    exit_code: int
    log: Path
    seconds: float
    recap: Mapping[str, Mapping[str, int]]
    failures: Sequence[Failure]
    complaint: str = ""
    """What Ansible said where it failed before or without any host."""
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Host → what the playbook found there."""
    roles: Mapping[str, float] = field(default_factory=dict)
    """Role → the seconds it took; what belongs to none goes by its play."""

    @property
    def changed(self) -> int:
        """Tasks that changed something, of all hosts."""
        return sum(counts["changed"] for counts in self.recap.values())

    def describe(self) -> str:
        """For the record, in a few words."""
        if self.failures:
            return f"failed on {', '.join(failure.host for failure in self.failures)}"
        return f"ok, {self.changed} changed" if not self.exit_code else f"failed: {self.complaint}"


def run_playbook(run: PlaybookRun, on_change: OnChange) -> Ended:
    """Run it to its end, with a full log; one that changes hosts while nobody else may, and with a line in the record.

    Raises:
        ClusterBusy: another operator's run goes on.
        StorageUnwritable: lock, log or record cannot be written.
        KeyboardInterrupt: it was interrupted, and Ansible has ended.
    """
    began = datetime.now(UTC)
    if not run.changes:
        with open_log(run.folder, run.operation, began) as log:
            return _follow(run, on_change, log, ())
    told_as = " ".join(run.told_as)
    with hold_cluster(run.folder, told_as, began) as lock:
        result = "interrupted"
        try:
            with open_log(run.folder, run.operation, began) as log:
                ended = _follow(run, on_change, log, (lock,))
            result = ended.describe()
            return ended
        finally:
            write_audit(run.folder, run.told_as, run.redaction.hide(result), began, datetime.now(UTC))


def _follow(run: PlaybookRun, on_change: OnChange, file: IO[str], locks: Sequence[int]) -> Ended:
    clock = time.monotonic()
    state = Run()
    log = _Log(file, run.redaction)
    log.write(f"{' '.join(run.command)}\n")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as talk:
        process = _start(run, talk, locks)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                now = time.monotonic() - clock
                outcomes = state.feed(line, now)
                log.note(now, state, outcomes, line)
                on_change(state, outcomes or ())
            code = process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            process.stdout.close()
            talk.seek(0)
            said = run.redaction.hide(talk.read())
            log.write(said)
    failures = [
        Failure(one.host, one.task, run.redaction.hide(one.message), one.unreachable) for one in state.failures()
    ]
    failed_otherwise = bool(code) and not failures
    return Ended(
        code,
        Path(file.name),
        time.monotonic() - clock,
        state.recap,
        failures,
        complaint(said) if failed_otherwise else "",
        state.told,
        state.seconds,
    )


def _start(run: PlaybookRun, talk: IO[str], locks: Sequence[int]) -> subprocess.Popen[str]:
    """In a session of its own: Ctrl-C reaches it once, from us, and no SSH asks at the terminal."""
    return subprocess.Popen(
        run.command,
        env=run.environment,
        cwd=run.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=talk,
        text=True,
        errors="replace",
        pass_fds=locks,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt Ansible, which then ends its connections; a second interruption kills it.

    What it has started is looked for before: a task that waits for its host outlives the rest, in a session of its own.
    """
    import psutil

    started: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=_GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    for one in psutil.wait_procs(started, timeout=_WORKERS_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            one.kill()


class _Log:
    """The full log: tasks as they begin, results with what was said, and what Ansible says besides, without secrets."""

    def __init__(self, file: IO[str], redaction: Redaction) -> None:
        self._file = file
        self._redaction = redaction
        self._task = ""

    def write(self, text: str) -> None:
        self._file.write(self._redaction.hide(text))
        self._file.flush()

    def note(self, now: float, state: Run, outcomes: Sequence[Outcome] | None, line: str) -> None:
        if outcomes is None:
            self.write(line)
            return
        lines = [text for outcome in outcomes for text in log_lines(outcome)]
        if state.recap:
            lines += [f"{host}: {dict(counts)}" for host, counts in state.recap.items()]
        elif not outcomes and state.task and self._task != (task := f"{state.role}: {state.task}"):
            self._task = task
            lines.append(task)
        self.write("".join(f"{int(now) // 60:3}:{int(now) % 60:02} {text}\n" for text in lines))
