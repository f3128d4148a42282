"""Gathers the programs of the lock in a folder, from which they are copied to the machines, and checks them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from v2t.cluster import cmake, go
from v2t.cluster.lock import Lock, Program, Release
from v2t.domain.errors import (
    DISK_FULL,
    ConfigurationError,
    ModelCorrupted,
    ModelUnavailable,
    ProgramCorrupted,
    ProgramUnavailable,
    StorageFull,
    StorageUnwritable,
)

OnStep = Callable[[str], None]
"""Called with what is begun, which may take minutes."""

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class State(StrEnum):
    """How a program stands in the folder."""

    WHOLE = "whole"
    MISSING = "missing"
    OUTDATED = "outdated"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A program for an architecture, and where it is or would be."""

    program: Program
    architecture: str
    path: Path
    state: State


def this_architecture() -> str:
    """The architecture of this machine, as Go names it.

    Raises:
        ConfigurationError: the lock knows nothing of it.
    """
    machine = platform.machine().lower()
    if machine not in _MACHINES:
        raise ConfigurationError(f"there are no programs for {machine}; name another with --arch")
    return _MACHINES[machine]


def default_folder() -> Path:
    """Where programs are gathered: V2T_ARTIFACTS, or below the user's cache."""
    if named := os.environ.get("V2T_ARTIFACTS", ""):
        return Path(named)
    import platformdirs

    return platformdirs.user_cache_path("v2t") / "artifacts"


def fetch_command(program: Program, architecture: str) -> str:
    """The command that brings a program."""
    named = f" --only {program.name}" if program.group else ""
    return f"v2t cluster artifacts fetch{named} --arch {architecture}"


class Artifacts:
    """The programs of a lock in a folder; several processes may use it at once.

    Args:
        lock: what there is.
        folder: where it is gathered.
    """

    def __init__(self, lock: Lock, folder: Path) -> None:
        self._lock = lock
        self._folder = folder.absolute()

    def look(self, architecture: str, only: str = "") -> list[Artifact]:
        """How all programs stand; every file is read and compared with what was gathered.

        Raises:
            UnknownProgram: there is no program `only`.
        """
        return [self._look(program, architecture) for program in self._chosen(only)]

    def fetch(self, architecture: str, on_step: OnStep, only: str = "") -> list[Artifact]:
        """Bring what is missing, outdated or damaged of what every cluster needs, or of `only`.

        Raises:
            UnknownProgram: there is no program `only`.
            ProgramUnavailable: one cannot be downloaded or built.
            ProgramCorrupted: one is not what the lock says.
            StorageError: the folder cannot be written.
        """
        try:
            wanted = [program for program in self._chosen(only) if only or not program.group]
            return [self._fetch(program, architecture, on_step) for program in wanted]
        except OSError as error:
            if error.errno in DISK_FULL:
                raise StorageFull from error
            raise StorageUnwritable(f"{self._folder} cannot be written: {error.strerror or error}") from error

    def _chosen(self, only: str) -> tuple[Program, ...]:
        return (self._lock.find(only),) if only else self._lock.programs

    def _look(self, program: Program, architecture: str) -> Artifact:
        path = self._place(program, architecture) / program.binary
        return Artifact(program, architecture, path, _state(path, program))

    def _place(self, program: Program, architecture: str) -> Path:
        return self._folder / architecture / program.name

    def _fetch(self, program: Program, architecture: str, on_step: OnStep) -> Artifact:
        artifact = self._look(program, architecture)
        if program.cmake and artifact.state is not State.WHOLE:
            _expect_compiler(program, architecture)
        with self._turn(program, architecture):
            artifact = self._look(program, architecture)
            if artifact.state is not State.WHOLE:
                self._bring(program, architecture, on_step)
        return self._look(program, architecture)

    @contextmanager
    def _turn(self, program: Program, architecture: str) -> Iterator[None]:
        """One process at a time brings a program; the others find it there."""
        (self._folder / architecture).mkdir(parents=True, exist_ok=True)
        with (self._folder / architecture / f".{program.name}.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    def _bring(self, program: Program, architecture: str, on_step: OnStep) -> None:
        """Make the program's folder beside its place, and put it there when it is whole."""
        place = self._place(program, architecture)
        work = place.with_name(f".{program.name}.work")
        partial = place.with_name(f".{program.name}.download")
        shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
        work.mkdir()
        try:
            origin = self._origin(program, architecture, work, partial, on_step)
            draft = work / "place"
            draft.mkdir()
            shutil.copyfile(origin, draft / program.binary)
            (draft / program.binary).chmod(0o755)
            manifest = {
                "fingerprint": program.fingerprint,
                "sha256": _sha256(draft / program.binary),
                "version": program.version,
            }
            (draft / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
            shutil.rmtree(place, ignore_errors=True)
            draft.rename(place)
            shutil.rmtree(partial, ignore_errors=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _origin(self, program: Program, architecture: str, work: Path, partial: Path, on_step: OnStep) -> Path:
        named = f"{program.name} {program.version} for {architecture}"
        if program.path:
            if not Path(program.path).is_file():
                raise ProgramUnavailable(f"{program.name} is not at {program.path}")
            return Path(program.path)
        if program.go:
            tool = go.find_go(self._lock.toolchain, this_architecture(), self._folder, on_step)
            on_step(f"building {named}, which takes minutes")
            return go.build(program, architecture, tool, work)
        if program.cmake:
            on_step(f"building {named}, which takes minutes")
            return cmake.build(program, work)
        if architecture not in program.downloads:
            raise ProgramUnavailable(f"the lock knows no download of {named}")
        on_step(f"downloading {named}")
        partial.mkdir(exist_ok=True)  # it stays when it breaks off, to be gone on with
        return _download(program.downloads[architecture], program, partial, work)


def _expect_compiler(program: Program, architecture: str) -> None:
    if architecture != this_architecture():
        named = f"{program.name} {program.version} for {architecture}"
        raise ProgramUnavailable(f"{named} is built on a machine of that architecture, and this is another")
    cmake.check_tools(program.name)


def _state(path: Path, program: Program) -> State:
    try:
        manifest = json.loads(path.with_name("manifest.json").read_text(encoding="utf-8"))
        if manifest["fingerprint"] != program.fingerprint:
            return State.OUTDATED
        return State.WHOLE if _sha256(path) == manifest["sha256"] else State.DAMAGED
    except FileNotFoundError:
        return State.DAMAGED if path.exists() else State.MISSING
    except (ValueError, KeyError, TypeError):
        return State.DAMAGED


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _download(release: Release, program: Program, partial: Path, work: Path) -> Path:
    """Bring the release, and take the program out of it."""
    from v2t.weights.catalogue import ModelFile
    from v2t.weights.download import Download, open_client

    file = ModelFile(name="release", size_bytes=release.size_bytes, sha256=release.sha256)
    try:
        with open_client() as client:
            Download(client, release.url, file, partial).run(lambda _done: None)
    except ModelUnavailable as error:
        raise ProgramUnavailable(f"{program.name} cannot be downloaded: {error.message}") from error
    except ModelCorrupted as error:
        raise ProgramCorrupted(f"what {release.url} has is not what the lock says of {program.name}") from error
    whole = partial / "release"
    return _unpack(whole, release.member, work / "member", program) if release.member else whole


def _unpack(archive: Path, member: str, target: Path, program: Program) -> Path:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                target.write_bytes(zipped.read(member))
        else:
            with tarfile.open(archive) as packed:
                content = packed.extractfile(member)  # None for what is no file
                target.write_bytes(content.read() if content else b"")
    except (KeyError, tarfile.TarError) as error:
        raise ProgramCorrupted(f"the archive of {program.name} has no file {member}") from error
    if not target.stat().st_size:
        raise ProgramCorrupted(f"in the archive of {program.name}, {member} is no file with content")
    return target
