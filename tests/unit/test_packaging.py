"""What the wheel holds, and what it asks for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("local", "dev")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.mark.parametrize("folder", ["playbooks", "roles", "templates", "inventory/sample"])
def test_the_wheel_ships_every_file_of_a_deployment_folder(wheel: zipfile.ZipFile, folder: str) -> None:
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert files
    assert {f"v2t/share/{file}" for file in files} <= set(wheel.namelist())


@pytest.mark.parametrize("suffix", [".py", ".toml", ".onnx", ".typed"])
def test_the_wheel_ships_every_file_of_the_package(wheel: zipfile.ZipFile, suffix: str) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "v2t").rglob("*") if path.suffix == suffix}
    files |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "v2t").rglob(suffix)}
    assert files <= set(wheel.namelist())


def test_the_wheel_ships_neither_tests_nor_samples(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {"v2t", f"v2t-{PROJECT['project']['version']}.dist-info"}


def test_the_wheel_carries_the_licences(wheel: zipfile.ZipFile) -> None:
    licences = {name.rpartition("/")[2] for name in wheel.namelist() if "/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}


def test_every_imported_library_is_a_stated_dependency() -> None:
    owners = packages_distributions()
    stated = {canonicalize_name(requirement.name) for requirement in _requirements()}
    for module, place in _imported_modules():
        owned_by = {canonicalize_name(name) for name in owners.get(module, [])}
        assert owned_by & stated, f"{place} imports {module}, which pyproject.toml does not ask for"


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_answers_what_pyproject_asks_for(lock: str) -> None:
    locked = _locked(lock)
    extras = {"local", "worker", "whisper-cpp", "faster-whisper", "models"} | ({"dev"} if lock == "dev" else set())
    for requirement in _requirements(extras):
        versions = locked.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement} is not in requirements/{lock}.txt; run `make lock`"
        assert all(requirement.specifier.contains(version) for version in versions), f"{requirement}; run `make lock`"


def test_both_locks_hold_the_same_versions() -> None:
    local, dev = map(_locked, LOCKS)
    assert {name: dev.get(name) for name in local} == local


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_hash_and_no_index_is_named(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "index" not in text
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in entry


def _requirements(extras: set[str] | None = None) -> Iterator[Requirement]:
    """What pyproject.toml asks for, of these extras or of all."""
    project = PROJECT["project"]
    lines = list(project["dependencies"])
    for name, extra in project["optional-dependencies"].items():
        if extras is None or name in extras:
            lines += extra
    requirements = map(Requirement, [*lines, *PROJECT["dependency-groups"]["build"]])
    return (requirement for requirement in requirements if requirement.name != "v2t")


def _locked(lock: str) -> dict[str, list[str]]:
    """Name → versions; there are several where they depend on the Python version."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8").splitlines():
        if pinned := re.match(r"([\w.-]+)==([^\s;]+)", line):
            found.setdefault(canonicalize_name(pinned[1]), []).append(pinned[2])
    return found


def _imported_modules() -> Iterator[tuple[str, Path]]:
    """Top-level names of other projects that the package imports, and where."""
    for path in (ROOT / "v2t").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top != "v2t":
                    yield top, path.relative_to(ROOT)
