"""The one lock of third-party programs, `roles/artifacts/vars/main.yml`: which, in which version, and from where."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from v2t.cluster.files import NotYaml, load_yaml
from v2t.cluster.shipped import shipped
from v2t.domain.errors import ConfigurationError, UnknownProgram

ARCHITECTURES = ("amd64", "arm64")
"""As Go names them."""

_LOOSE = re.compile(r"latest|master|main|head", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GoModule:
    """A program that Go builds."""

    module: str
    package: str
    sum: str
    """The module's hash as sum.golang.org has it."""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CppSources:
    """A program that cmake builds, from the source archive of a package of the package index."""

    package: str
    version: str
    sha256: str
    folder: str
    """In the archive, where the sources are."""
    target: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """A file to download; `member` names the program in it, where it is an archive."""

    url: str
    size_bytes: int
    sha256: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """One entry: it has exactly one of `go`, `cmake`, `downloads` and `path`."""

    name: str
    version: str
    licence: str
    binary: str
    go: GoModule | None = None
    downloads: Mapping[str, Release] = field(default_factory=dict)
    path: str = ""
    cmake: CppSources | None = None
    group: str = ""
    """Of the inventory, whose hosts alone need it; empty: every cluster does."""

    @property
    def source(self) -> str:
        """Where it comes from, for a person."""
        if self.go:
            return f"go {self.go.package}"
        if self.cmake:
            return f"cmake {self.cmake.package} {self.cmake.version}"
        return self.path or next(iter(self.downloads.values())).url

    @property
    def fingerprint(self) -> str:
        """Changes with anything that decides what the program is."""
        facts = asdict(self)
        for name in ("cmake", "group"):  # which came later, and are to make no program another that has none
            if not facts[name]:
                del facts[name]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file of the package index."""

    platform: str
    sha256: str


@dataclass(frozen=True, slots=True)
class GoToolchain:
    """What Go modules are built with: an installed Go from `minimum` on, else the wheel of `package`."""

    minimum: str
    package: str
    version: str
    licence: str
    wheels: Mapping[str, Wheel]


@dataclass(frozen=True, slots=True)
class Lock:
    """All of it; the programs are sorted by name."""

    programs: tuple[Program, ...]
    toolchain: GoToolchain

    def find(self, name: str) -> Program:
        """The program of this name.

        Raises:
            UnknownProgram: there is none.
        """
        for program in self.programs:
            if program.name == name:
                return program
        raise UnknownProgram(f"there is no program {name!r} in the lock: {', '.join(p.name for p in self.programs)}")


def lock_path() -> Path:
    """The lock of this installation: in the wheel, or in the working tree."""
    return shipped("roles") / "artifacts" / "vars" / "main.yml"


def read_lock(sources: Path | None = None) -> Lock:
    """The lock of this installation, with the entries of `sources` in place of its own.

    Raises:
        ConfigurationError: one of the two files cannot be read, or says something that is not valid.
    """
    try:
        own = lock_path().read_text(encoding="utf-8")
        replaced = sources.read_text(encoding="utf-8") if sources else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the list of programs cannot be read: {error}") from error
    return parse_lock(own, replaced)


def parse_lock(text: str, sources: str = "") -> Lock:
    """Read the lock, and entries that replace those of the same name.

    Raises:
        ConfigurationError: an entry is not valid; the message says which.
    """
    document = _load(text)
    entries = {entry["name"]: entry for entry in document["artifacts_programs"]}
    entries |= {entry["name"]: entry for entry in _load(sources).get("artifacts_programs", ())}
    programs = tuple(_program(entries[name]) for name in sorted(entries))
    tool = document["artifacts_go"]
    wheels = {architecture: Wheel(**wheel) for architecture, wheel in tool["wheels"].items()}
    return Lock(programs, GoToolchain(**{**tool, "wheels": wheels}))


def _load(text: str) -> dict[str, Any]:
    try:
        document = load_yaml(text) or {}
    except NotYaml as error:
        raise ConfigurationError(f"the list of programs is not YAML: {error}") from error
    entries = document.get("artifacts_programs", ()) if isinstance(document, dict) else None
    if entries is None or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise ConfigurationError("the list of programs must have `artifacts_programs`, and each of them a name")
    return document


def _program(entry: dict[str, Any]) -> Program:
    name = entry["name"]
    try:
        go = GoModule(**_with_tuple(entry["go"], "tags")) if "go" in entry else None
        cmake = CppSources(**_with_tuple(entry["cmake"], "options")) if "cmake" in entry else None
        downloads = {key: Release(**value) for key, value in entry.get("downloads", {}).items()}
        program = Program(**{**entry, "go": go, "cmake": cmake, "downloads": downloads})
    except (TypeError, AttributeError) as error:
        raise ConfigurationError(f"the entry of {name} in the list of programs is not valid: {error}") from error
    if (go is not None) + (cmake is not None) + bool(downloads) + bool(program.path) != 1:
        raise ConfigurationError(f"the entry of {name} needs exactly one of `go`, `cmake`, `downloads` and `path`")
    if _LOOSE.fullmatch(str(program.version)):
        raise ConfigurationError(f"the entry of {name} needs an exact version, and {program.version} is none")
    if any("/" in part or part in {"", ".", ".."} for part in (name, program.binary)):
        raise ConfigurationError(f"the entry of {name} needs a plain file name as name and binary")
    return program


def _with_tuple(entry: dict[str, Any], name: str) -> dict[str, Any]:
    return {**entry, name: tuple(entry.get(name, ()))}
