"""Asks an engine of this machine, in a child, whether it works here and what it can compute on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

from v2t.process.program import plain_environment
from v2t.providers._answers import plain
from v2t.providers.table import LocalProvider

_PROBES = {
    "faster_whisper": """
import ctypes, ctranslate2, faster_whisper
cards = ctranslate2.get_cuda_device_count()
if cards:
    try:
        ctypes.CDLL("libcublas.so.12")
    except OSError:
        cards = 0
print("CUDA = %d" % cards)
""",
    "whisper_cpp": """
import ctypes, _pywhispercpp
cards = ctypes.c_int()
try:
    driver = ctypes.CDLL("libcuda.so.1")
    driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(cards))
except OSError:
    pass
print(_pywhispercpp.whisper_print_system_info().replace("CUDA :", "CUDA = %d :" % cards.value))
""",
}
"""Asked in a child: an engine's library may crash, and its memory is not the worker's to spend.

CTranslate2 4 counts cards without cuBLAS, which it opens by that name at the first product it computes, and fails
there; whisper.cpp names the CUDA it was built with where no card is, and computes on the processor without a word.
"""

_NEEDED = ("-ojf", "-pp", "-sns", "-nf", "-ng")
"""What v2t tells whisper-cli and old ones do not know, so that its help does not name it."""

_BACKENDS = (
    ("vulkan", r"\bVULKAN\s*(?:=\s*[1-9]|:)|found [1-9]\d* vulkan devices"),
    ("metal", r"\bMETAL\s*(?:=\s*[1-9]|:)"),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of asking an engine."""

    said: str  # in its own words: what it can compute on
    trouble: str = ""  # why it does not work here; empty: it does, as far as can be seen without computing


def probe_engine(engine: LocalProvider, seconds: float = 60.0) -> Probe:
    """Ask an engine that is installed. It blocks; one that does not answer in time is taken to be slow, and to work."""
    command = [*engine.program, "--help"] if engine.program else [sys.executable, "-P", "-c", _PROBES[engine.name]]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=plain_environment(os.environ) if engine.program else None,
        )
    except subprocess.TimeoutExpired:
        return Probe("")
    except OSError as error:
        return Probe("", f"{command[0]} cannot be run: {error.strerror}")
    return _program_probe(engine, done) if engine.program else _library_probe(engine, done)


def parse_answer(answer: str) -> tuple[tuple[str, ...], int]:
    """What an engine can use, the slowest first, and how many CUDA cards it sees.

    whisper.cpp prints `NAME = 1` or `NAME : FEATURE = 1` for each backend that it was built with; the probe puts the
    number of cards beside CUDA. Its program tells of cards when it loads a backend, `found 1 CUDA devices`.
    """
    found = ["cpu"]
    cuda = re.search(r"\bCUDA\s*[=:]\s*(\d+)?", answer)
    cards = int(cuda[1] or 1) if cuda else 0
    if seen := re.search(r"found (\d+) CUDA devices", answer):
        cards = int(seen[1])
    found += [name for name, pattern in _BACKENDS if re.search(pattern, answer, re.IGNORECASE)]
    return (*found, *(("cuda",) if cards else ())), cards


def _library_probe(engine: LocalProvider, done: subprocess.CompletedProcess[str]) -> Probe:
    if not done.returncode:
        return Probe(done.stdout)
    return Probe("", f"the library of {engine.name} does not load: {_why(done)}")


def _program_probe(engine: LocalProvider, done: subprocess.CompletedProcess[str]) -> Probe:
    program = plain(engine.program[0])
    if done.returncode:
        return Probe("", f"{program} does not run: {_why(done)}")
    said = done.stdout + done.stderr
    unknown = [word for word in _NEEDED if word not in said]
    if unknown:
        return Probe("", f"{program} is no whisper-cli, or an old one: it does not know {', '.join(unknown)}")
    return Probe(said)


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """The signal that ended it, or the last line that it said."""
    if done.returncode < 0:
        number = signal.Signals(-done.returncode)
        return f"{number.name}, it was built for another processor" if number == signal.SIGILL else number.name
    last = done.stderr.strip().splitlines()[-1:]
    return plain(last[0]) if last else f"exit code {done.returncode}"
