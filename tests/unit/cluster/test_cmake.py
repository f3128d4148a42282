from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from v2t.cluster import cmake
from v2t.cluster.artifacts import Artifacts
from v2t.cluster.lock import CppSources, Lock, Program, read_lock
from v2t.domain.errors import ProgramUnavailable

_REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "local.txt"
_SOURCES = CppSources("pywhispercpp", "1.5.1", "ab12", "whisper.cpp", "whisper-cli", ("-DGGML_AVX2=ON",))
_PROGRAM = Program("whisper-cli", "v1", "MIT", "whisper-cli", cmake=_SOURCES, group="ssh_whisper")


def test_the_sources_are_those_of_the_library_that_v2t_itself_uses() -> None:
    locked = read_lock().find("whisper-cli").cmake

    assert locked
    assert locked.version == importlib.metadata.version(locked.package)
    entry = _REQUIREMENTS.read_text("utf-8").partition(f"\n{locked.package}=={locked.version} ")[2].partition("==")[0]
    assert f"sha256:{locked.sha256}" in entry


def test_the_archive_comes_from_the_package_index_with_its_hash() -> None:
    command = cmake.download_command(_SOURCES, Path("/r.txt"), Path("/d"))

    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes", "--no-binary=pywhispercpp", "--requirement=/r.txt"} <= set(command)


def test_a_build_takes_nothing_of_this_processor_and_what_the_lock_says_besides() -> None:
    command = cmake.configure_command(Path("/s"), Path("/b"), _SOURCES.options)

    assert command[:5] == ["cmake", "-S", "/s", "-B", "/b"]
    assert {"-DGGML_NATIVE=OFF", "-DBUILD_SHARED_LIBS=OFF", "-DGGML_AVX2=ON"} <= set(command)
    assert cmake.build_command(Path("/b"), ["whisper-cli"])[-2:] == ["--target", "whisper-cli"]


def test_what_builds_and_is_not_installed_is_named_with_its_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "make").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ProgramUnavailable, match=r"by cmake, c\+\+, not installed here; `apt-get install cmake g\+\+`"):
        cmake.check_tools("whisper-cli")


def test_a_program_is_built_for_this_architecture_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    artifacts = Artifacts(Lock((_PROGRAM,), read_lock().toolchain), tmp_path)

    with pytest.raises(ProgramUnavailable, match="for arm64 is built on a machine of that architecture"):
        artifacts.fetch("arm64", print, "whisper-cli")
    assert not (tmp_path / "arm64").exists()  # which would look as if programs had been gathered for it


def test_of_a_build_that_fails_the_last_error_is_told() -> None:
    script = "echo 'x.cpp:1: error: no such thing' >&2; echo 'make: *** [x] stopped' >&2; exit 2"

    with pytest.raises(ProgramUnavailable, match=r"^it could not be built: x\.cpp:1: error: no such thing$"):
        cmake._run(["sh", "-c", script], "it could not be built")
