"""Jobs that the tests of the pool give to real children, which import this module by its name."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, cast

from v2t.domain.errors import EngineEmptyResult, NotAudio, UnknownModel
from v2t.process.child import Emit
from v2t.process.program import run_program

_calls = 0


def count(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Say which process this is, and how many jobs it has done."""
    global _calls  # noqa: PLW0603 - what a child keeps between jobs is what is tested
    _calls += 1
    for number in range(payload.get("events", 0)):
        emit({"number": number})
        time.sleep(payload.get("pause", 0.0))
    return {"pid": os.getpid(), "calls": _calls}


def echo(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    return payload


def fill(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    return {"text": "é" * payload["characters"]}


def fail(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    errors: dict[str, Exception] = {
        "NotAudio": NotAudio("not audio at all"),
        "UnknownModel": UnknownModel("no such model"),
        "EngineEmptyResult": EngineEmptyResult(),
        "ValueError": ValueError("first line\nsecond line"),
        "silent": RuntimeError(),
        "disk": OSError(28, "No space left on device"),
        "quota": OSError(122, "Disk quota exceeded"),
        "permission": PermissionError(13, "Permission denied"),
        "memory": MemoryError(),
        "bad_alloc": RuntimeError("std::bad_alloc"),
        "torch": RuntimeError("[enforce fail] can't allocate memory: 8 GB"),
    }
    raise errors[payload["error"]]


def die(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    emit({"pid": os.getpid()})
    if payload.get("stderr"):
        sys.stderr.write(payload["stderr"])
        sys.stderr.flush()
    if "exit" in payload:
        os._exit(payload["exit"])
    if payload["signal"] == "SIGSEGV":
        ctypes.string_at(0)
    os.kill(os.getpid(), getattr(signal, payload["signal"]))
    return {}


def hang(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    emit({"pid": os.getpid()})
    if payload.get("deaf"):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(600)
    return {}


def run_shell(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Run a script as engines run their programs; it may tell a process id on stderr."""
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        if line.isdecimal():
            emit({"pid": int(line)})

    code = run_program(["/bin/sh", "-c", payload["script"]], hear)
    return {"code": code, "said": said}


def swallow(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Take memory until there is no more, as Python objects or as native code does."""
    if payload["how"] == "python":
        kept = []
        for _ in range(payload["megabytes"]):
            block = bytearray(1024 * 1024)
            block[::4096] = b"x" * 256
            kept.append(block)
        time.sleep(1)
        return {"megabytes": len(kept)}
    sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
    sys.stderr.flush()
    os.abort()


def reserve(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Map memory as native libraries do, and write to the beginning of it only."""
    with mmap.mmap(-1, payload["megabytes"] * 1024 * 1024, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(b"speech")
        time.sleep(1)
        return {"megabytes": len(memory) >> 20}


def chatter(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Print far more than a pipe holds, on both streams, the way native code does."""
    for descriptor in (1, 2):
        os.write(descriptor, b"noise\n" * 50_000)
    print("noise from Python", flush=True)
    return {"done": True}


def connect(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    try:
        with socket.create_connection(("127.0.0.1", payload["port"]), timeout=2):
            return {"connected": True}
    except OSError as error:
        return {"connected": False, "reason": str(error)}


def facts(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    libc = ctypes.CDLL(None)
    return {
        "no_new_privileges": cast("int", libc.prctl(39, 0, 0, 0, 0)),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "first_to_go": Path("/proc/self/oom_score_adj").read_text().strip(),
        "session": os.getsid(0) == os.getpid(),
        "variable": os.environ.get("V2T_TEST_VARIABLE", ""),
    }
