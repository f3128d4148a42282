"""Gathers the wheels that a host's virtual environment is made of, because hosts reach no package index.

What v2t needs stands in one archive, which changes seldom, with uv, which installs it within a fraction of the time
that pip takes; v2t's own wheel lies beside it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from v2t.cluster.pip import pip_download
from v2t.cluster.shipped import shipped
from v2t.domain.errors import ConfigurationError, ProgramUnavailable

PYTHONS = ("3.11", "3.12", "3.13")
"""Which v2t runs on."""

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC_MINORS = range(35, 16, -1)
"""Ubuntu 22.04 has glibc 2.35, the oldest of the hosts; wheels name the version that they need at least (PEP 600)."""

_REQUIREMENTS = {"requirements.txt": "requirements/local.txt", "installer.txt": "requirements/installer.txt"}
"""In the archive → the lock that it is chosen from."""

_DIGEST_CHARACTERS = 12
_KEPT_WHEELS = 5


@dataclass(frozen=True, slots=True)
class Wheelhouse:
    """What a host needs to make its virtual environment."""

    dependencies: Path
    """A tar archive: wheels, and their hashes: `requirements.txt` of what v2t needs, `installer.txt` of uv."""
    dependencies_digest: str
    wheel: Path
    """v2t itself."""
    release: str
    """Names both: two with the same name are the same."""


def gather_wheels(folder: Path, architecture: str, python: str, on_step: Callable[[str], None]) -> Wheelhouse:
    """Bring the wheels that are missing; what is there stays.

    Args:
        folder: where everything for hosts is gathered.
        architecture: of the hosts, as Go names it.
        python: of the hosts, such as `3.11`.
        on_step: called with what is begun.

    Raises:
        ProgramUnavailable: a wheel cannot be had.
        ConfigurationError: the installation of v2t lacks its own lock.
    """
    place = folder / architecture / f"wheels-{python}"
    place.mkdir(parents=True, exist_ok=True)
    requirements = {
        name: select_requirements(shipped(lock).read_text("utf-8"), architecture, python)
        for name, lock in _REQUIREMENTS.items()
    }
    digest = _short("".join(requirements.values()).encode())
    dependencies = place / f"dependencies-{digest}.tar"
    if not dependencies.exists():
        on_step(f"gathering the wheels of v2t for Python {python} on {architecture}")
        _pack(dependencies, requirements, download_command(architecture, python))
    wheel = _own_wheel(place)
    release = _short(digest.encode() + wheel.read_bytes())
    return Wheelhouse(dependencies, digest, wheel, f"{importlib.metadata.version('v2t')}-{release}")


def select_requirements(lock: str, architecture: str, python: str) -> str:
    """The entries of a lock that hosts of this kind need; pip itself would ask this machine's markers."""
    from packaging.markers import Marker

    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": _MACHINES[architecture],
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",  # what only early ones need does no harm to later ones
        "python_version": python,
        "sys_platform": "linux",
    }
    chosen = []
    for entry in _entries(lock):
        requirement, _, rest = entry.partition("\\\n")
        name, _, marker = requirement.partition(" ; ")
        if not marker or Marker(marker.strip()).evaluate(environment):
            chosen.append(f"{name.strip()} \\\n{rest}")
    return "".join(chosen)


def download_command(architecture: str, python: str) -> list[str]:
    """The call of pip, to which folder and file are added; every wheel is checked against its hash."""
    machine = _MACHINES[architecture]
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in _GLIBC_MINORS]
    return pip_download(
        *("--only-binary=:all:", "--require-hashes", "--implementation=cp", f"--python-version={python}"),
        *platforms,
        f"--platform=manylinux2014_{machine}",
        f"--platform=manylinux1_{machine}",
    )


def _entries(lock: str) -> list[str]:
    """A package each: its first line, and the lines of hashes that are indented below it."""
    return [entry for entry in re.split(r"^(?=\S)", lock, flags=re.MULTILINE) if entry.strip() and entry[0] != "#"]


def _pack(archive: Path, requirements: Mapping[str, str], command: Sequence[str]) -> None:
    """Download into a folder beside the archive, and put the archive in its place when it is whole."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        wheels = Path(work) / "wheels"
        wheels.mkdir()
        for name, text in requirements.items():
            (wheels / name).write_text(text, "utf-8")
        wanted = [f"--requirement={wheels / name}" for name in requirements]
        _run([*command, f"--dest={wheels}", *wanted], "the wheels of v2t")
        draft = Path(work) / "archive"
        with tarfile.open(draft, "w") as packed:
            for file in sorted(wheels.iterdir()):
                packed.add(file, file.name)
        for outdated in archive.parent.glob("dependencies-*.tar"):
            outdated.unlink()
        draft.rename(archive)


def _own_wheel(place: Path) -> Path:
    """v2t's wheel: built where this is a checkout, from the package index where it was installed from there.

    Each content lies in a folder of its own: another v2t on this machine may deploy at the same time.
    """
    with tempfile.TemporaryDirectory(dir=place) as work:
        draft = Path(work) / "built"
        draft.mkdir()
        project = shipped("pyproject.toml")  # which no wheel carries
        if project.is_file():
            command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(draft)]
            _run(command, "v2t's wheel", project.parent)
        else:
            _run(pip_download(f"--dest={draft}", f"v2t=={importlib.metadata.version('v2t')}"), "v2t's wheel")
        (built,) = draft.glob("v2t-*.whl")
        folder = place / f"v2t-{_short(built.read_bytes())}"
        with suppress(OSError):  # it is there already
            draft.rename(folder)
    os.utime(folder)
    for outdated in sorted(place.glob("v2t-*/"), key=lambda path: path.stat().st_mtime)[:-_KEPT_WHEELS]:
        shutil.rmtree(outdated, ignore_errors=True)
    return folder / built.name


def _run(command: Sequence[str], what: str, folder: Path | None = None) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    except subprocess.CalledProcessError as error:
        last = next((line for line in reversed(error.stderr.splitlines()) if line.strip()), "pip said nothing")
        raise ProgramUnavailable(f"{what} cannot be had: {last.strip()}") from error
    except FileNotFoundError as error:
        raise ConfigurationError(f"{command[0]} is not there; is this virtual environment whole?") from error


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGEST_CHARACTERS]
