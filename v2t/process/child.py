"""The child's side: confine yourself, then do one job at a time until told to stop.

Requests and events are JSON lines on the pipes the child was born with:

    → {"job": "package.module:function", "payload": {...}}
    ← {"event": {...}} any number of times, then {"result": {...}} or {"error": code, "message": text}

Run as `python -P -m v2t.process.child PARENT`, where PARENT is a process id; only v2t.process.pool does.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from v2t.domain.errors import DISK_FULL, EngineCrashed, EngineOutOfMemory, StorageFull, V2TError

Emit = Callable[[dict[str, Any]], None]
"""What a job calls to report progress; any JSON-able dict."""

Job = Callable[[dict[str, Any], Emit], dict[str, Any]]
"""A job: payload and emit in, result out; it raises V2TError for expected failures."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000  # linux/sched.h
_CLONE_NEWNET = 0x40000000
_FIRST_TO_GO = "1000"  # proc_pid_oom_score_adj(5)


def confine(parent: int) -> None:
    """Die with the parent and before it where memory runs out, gain no privilege, and reach no network."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the line above took effect
        os._exit(1)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # A network of its own, which has no way out. Not every kernel allows it: then the
    # decoder's own refusal of network protocols is what is left.
    libc.unshare(_CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # not every system has it
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)


def serve(requests: TextIO, answers: TextIO) -> None:
    """Do jobs until the request pipe closes."""

    def send(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    for line in requests:
        request = json.loads(line)
        try:
            result = _load_job(request["job"])(request["payload"], lambda event: send({"event": event}))
        except Exception as error:  # noqa: BLE001 - every failure must cross the process boundary
            failure = _as_v2t_error(error)
            send({"error": failure.code, "message": failure.message})
        else:
            send({"result": result})


def _load_job(name: str) -> Job:
    module, _, function = name.partition(":")
    job: Job = getattr(importlib.import_module(module), function)
    return job


def _as_v2t_error(error: Exception) -> V2TError:
    if isinstance(error, V2TError):
        return error
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, MemoryError) or "bad_alloc" in text or "allocate memory" in text:
        return EngineOutOfMemory()
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return StorageFull()
    return EngineCrashed(f"{type(error).__name__}: {text}")


def main() -> None:
    """Entry point of the child process."""
    confine(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    # Native libraries print to descriptor 1: give them stderr, keep the pipe for answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
