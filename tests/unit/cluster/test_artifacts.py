from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.file_server import FileServer, serve_files

from v2t.cluster.artifacts import Artifacts, State, default_folder
from v2t.cluster.lock import Lock, Program, Release, read_lock
from v2t.domain.errors import ProgramCorrupted, ProgramUnavailable, StorageUnwritable

_CONTENT = b"#!/bin/sh\necho silo\n"


@pytest.fixture
def files() -> Iterator[FileServer]:
    with serve_files() as server:
        yield server


def test_a_program_of_this_machine_is_copied_and_kept(tmp_path: Path) -> None:
    said: list[str] = []
    artifacts = _artifacts(tmp_path, _on_disk(tmp_path))

    (fetched,) = artifacts.fetch("amd64", said.append)
    (again,) = artifacts.fetch("amd64", said.append)

    assert fetched == again
    assert fetched.state is State.WHOLE
    assert fetched.path.read_bytes() == _CONTENT
    assert fetched.path.stat().st_mode & 0o777 == 0o755
    assert not list(fetched.path.parents[1].glob(".*.work"))


def test_what_was_tampered_with_is_noticed_and_brought_anew(tmp_path: Path) -> None:
    artifacts = _artifacts(tmp_path, _on_disk(tmp_path))
    (fetched,) = artifacts.fetch("amd64", print)

    fetched.path.write_bytes(_CONTENT + b"rm -rf /\n")

    assert [item.state for item in artifacts.look("amd64")] == [State.DAMAGED]
    assert [item.state for item in artifacts.fetch("amd64", print)] == [State.WHOLE]
    assert fetched.path.read_bytes() == _CONTENT


def test_a_manifest_alone_does_not_make_a_program_whole(tmp_path: Path) -> None:
    artifacts = _artifacts(tmp_path, _on_disk(tmp_path))
    (fetched,) = artifacts.fetch("amd64", print)

    fetched.path.with_name("manifest.json").write_text("[]")
    assert [item.state for item in artifacts.look("amd64")] == [State.DAMAGED]
    fetched.path.with_name("manifest.json").unlink()
    assert [item.state for item in artifacts.look("amd64")] == [State.DAMAGED]


def test_what_only_hosts_of_a_group_need_is_brought_when_it_is_named(tmp_path: Path) -> None:
    program = replace(_on_disk(tmp_path), group="ssh_whisper")
    artifacts = _artifacts(tmp_path, program)

    assert artifacts.fetch("amd64", print) == []
    assert [item.state for item in artifacts.look("amd64")] == [State.MISSING]
    assert [item.state for item in artifacts.fetch("amd64", print, "minio")] == [State.WHOLE]


def test_a_new_version_in_the_lock_makes_the_old_one_outdated(tmp_path: Path) -> None:
    _artifacts(tmp_path, _on_disk(tmp_path)).fetch("amd64", print)
    newer = _artifacts(tmp_path, _on_disk(tmp_path, version="v2"))

    assert [item.state for item in newer.look("amd64")] == [State.OUTDATED]
    assert [item.state for item in newer.fetch("amd64", print)] == [State.WHOLE]


def test_a_release_is_downloaded_and_taken_out_of_its_archive(tmp_path: Path, files: FileServer) -> None:
    files.content["/silo.tar.gz"] = _archive("bin/silo", _CONTENT)
    artifacts = _artifacts(tmp_path, _released(files, "bin/silo"))

    (fetched,) = artifacts.fetch("amd64", print)

    assert fetched.path.name == "silo"
    assert fetched.path.read_bytes() == _CONTENT


def test_a_release_that_is_another_file_is_refused(tmp_path: Path, files: FileServer) -> None:
    files.content["/silo.tar.gz"] = _archive("bin/silo", _CONTENT)
    program = _released(files, "bin/silo")
    files.content["/silo.tar.gz"] = files.content["/silo.tar.gz"][:-1] + b"x"

    with pytest.raises(ProgramCorrupted, match="not what the lock says of minio"):
        _artifacts(tmp_path, program).fetch("amd64", print)
    assert [item.state for item in _artifacts(tmp_path, program).look("amd64")] == [State.MISSING]


def test_an_archive_without_the_program_is_refused(tmp_path: Path, files: FileServer) -> None:
    files.content["/silo.tar.gz"] = _archive("bin/other", _CONTENT)

    with pytest.raises(ProgramCorrupted, match="has no file bin/silo"):
        _artifacts(tmp_path, _released(files, "bin/silo")).fetch("amd64", print)


def test_what_cannot_be_had_is_told(tmp_path: Path, files: FileServer) -> None:
    files.content["/silo.tar.gz"] = _CONTENT
    program = _released(files)
    del files.content["/silo.tar.gz"]

    with pytest.raises(ProgramUnavailable, match=r"minio cannot be downloaded: .*404"):
        _artifacts(tmp_path, program).fetch("amd64", print)
    with pytest.raises(ProgramUnavailable, match="no download of minio v1 for arm64"):
        _artifacts(tmp_path, program).fetch("arm64", print)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")

    with pytest.raises(StorageUnwritable, match="cannot be written"):
        _artifacts(tmp_path, _on_disk(tmp_path)).fetch("amd64", print)


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_folder().parts[-2:] == ("v2t", "artifacts")
    monkeypatch.setenv("V2T_ARTIFACTS", str(tmp_path))
    assert default_folder() == tmp_path


@pytest.mark.servers
def test_a_program_is_built_from_its_module_and_built_again_when_tampered_with(tmp_path: Path) -> None:
    artifacts = Artifacts(read_lock(), tmp_path)
    said: list[str] = []
    (built,) = artifacts.fetch("amd64", said.append, "temporal-sql-tool")
    content = built.path.read_bytes()

    with built.path.open("ab") as program:
        program.write(b"\0")
    (again,) = artifacts.fetch("amd64", said.append, "temporal-sql-tool")

    assert again.path.read_bytes() == content
    assert len([step for step in said if "building" in step]) == 2


def _artifacts(folder: Path, program: Program) -> Artifacts:
    return Artifacts(Lock((program,), read_lock().toolchain), folder / "cache")


def _on_disk(folder: Path, version: str = "v1") -> Program:
    origin = folder / "origin"
    origin.write_bytes(_CONTENT)
    return Program("minio", version, "AGPL-3.0-or-later", "silo", path=str(origin))


def _released(files: FileServer, member: str = "") -> Program:
    content = files.content["/silo.tar.gz"]
    digest = hashlib.sha256(content).hexdigest()
    release = Release(f"{files.address}/silo.tar.gz", len(content), digest, member)
    return Program("minio", "v1", "AGPL-3.0-or-later", "silo", downloads={"amd64": release})


def _archive(member: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
