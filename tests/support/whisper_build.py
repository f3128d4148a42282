"""whisper.cpp's own programs, built once a machine from the sources that the lock names for whisper-cli."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import platformdirs
import pytest

from v2t.cluster import cmake
from v2t.cluster.lock import CppSources, read_lock
from v2t.domain.errors import ProgramUnavailable
from v2t.storage.file_locks import exclusive

PROGRAMS = ("whisper-cli", "whisper-server")

_GENTLY = ("nice", "-n", "19")
_LAST_LINES = 5


def built_program(name: str) -> Path:
    """One of whisper.cpp's programs, of the version that is installed; the first call on a machine takes minutes.

    Skips the test, saying why, where it cannot be built.
    """
    try:
        return _built(name)
    except (ProgramUnavailable, OSError) as error:
        print(f"whisper.cpp: {error}", file=sys.stderr)
        pytest.skip(f"whisper.cpp cannot be built here: {error}")


def _built(name: str) -> Path:
    sources = read_lock().find("whisper-cli").cmake
    assert sources
    folder = platformdirs.user_cache_path("v2t") / "whisper.cpp" / sources.version
    program = folder / "bin" / name
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "lock"):
        if not program.exists():
            _build(sources, folder)
    return program


def _build(sources: CppSources, folder: Path) -> None:
    """As for hosts, but with the libraries of this machine: the server asks those of names."""
    cmake.check_tools("whisper.cpp")
    unpacked, build = folder / "sources", folder / "build"
    for left in (unpacked, build):
        shutil.rmtree(left, ignore_errors=True)  # of a build that did not come to its end
    unpacked.mkdir()
    print(f"whisper.cpp: building {' and '.join(PROGRAMS)} in {folder}, which takes minutes", file=sys.stderr)
    _run(cmake.configure_command(cmake.fetch_sources(sources, unpacked), build))
    _run(cmake.build_command(build, PROGRAMS))
    ready = folder / "bin"
    ready.mkdir(exist_ok=True)
    for name in PROGRAMS:
        shutil.copy2(build / "bin" / name, ready / f".{name}")
        (ready / f".{name}").rename(ready / name)  # whole, or not there
    shutil.rmtree(build)
    shutil.rmtree(unpacked)


def _run(command: Sequence[str]) -> None:
    ended = subprocess.run([*_GENTLY, *command], capture_output=True, text=True, check=False)
    if ended.returncode:
        last = " / ".join((ended.stderr or ended.stdout).strip().splitlines()[-_LAST_LINES:])
        raise ProgramUnavailable(f"{command[0]} ended with {ended.returncode}: {last}")
