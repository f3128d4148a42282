from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import pytest

from v2t.cluster import wheelhouse
from v2t.cluster.shipped import shipped
from v2t.cluster.wheelhouse import download_command, gather_wheels, select_requirements
from v2t.domain.errors import ProgramUnavailable

LOCK = """\
# a comment
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:aa
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:dd
xet==1.0 ; platform_machine == 'x86_64' \\
    --hash=sha256:ee
click==8.3.0 \\
    --hash=sha256:ff
"""


def names(requirements: str) -> list[str]:
    return [line.split(" ")[0] for line in requirements.splitlines() if not line.startswith(" ")]


@pytest.mark.parametrize(
    ("architecture", "python", "expected"),
    [
        ("amd64", "3.11", ["numpy==2.4.6", "xet==1.0", "click==8.3.0"]),
        ("amd64", "3.13", ["numpy==2.5.5", "xet==1.0", "click==8.3.0"]),
        ("arm64", "3.12", ["numpy==2.5.5", "click==8.3.0"]),
    ],
)
def test_only_what_the_hosts_need_is_chosen(architecture: str, python: str, expected: list[str]) -> None:
    assert names(select_requirements(LOCK, architecture, python)) == expected


def test_chosen_entries_keep_their_hashes_and_lose_their_conditions() -> None:
    chosen = select_requirements(LOCK, "amd64", "3.11")
    assert "numpy==2.4.6 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n" in chosen
    assert ";" not in chosen


def test_our_own_lock_has_no_package_twice_for_any_host() -> None:
    lock = shipped("requirements/local.txt").read_text("utf-8")
    for architecture in ("amd64", "arm64"):
        for python in wheelhouse.PYTHONS:
            found = [name.split("==")[0] for name in names(select_requirements(lock, architecture, python))]
            assert len(found) == len(set(found)) > 50


def test_wheels_are_asked_for_with_hashes_for_the_hosts_and_not_for_this_machine() -> None:
    command = download_command("arm64", "3.12")
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version=3.12"} <= set(command)
    platforms = [word for word in command if word.startswith("--platform=")]
    assert platforms[0] == "--platform=manylinux_2_35_aarch64"
    assert all(word.endswith("_aarch64") for word in platforms)


def fake_programs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def run(command: list[str], what: str, folder: Path | None = None) -> None:
        calls.append(list(command))
        if "hatchling" in command:
            Path(command[-1], "v2t-0.1.0-py3-none-any.whl").write_bytes(b"v2t")
        else:
            destination = next(word for word in command if word.startswith("--dest=")).removeprefix("--dest=")
            Path(destination, "click-8.3.0-py3-none-any.whl").write_bytes(b"click")

    monkeypatch.setattr(wheelhouse, "_run", run)
    return calls


def test_the_archive_holds_the_wheels_and_their_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_programs(monkeypatch)
    said: list[str] = []
    found = gather_wheels(tmp_path, "amd64", "3.11", said.append)
    with tarfile.open(found.dependencies) as archive:
        assert sorted(archive.getnames()) == ["click-8.3.0-py3-none-any.whl", "installer.txt", "requirements.txt"]
        installer = archive.extractfile("installer.txt")
        assert installer and installer.read().startswith(b"uv==")
    assert found.wheel.read_bytes() == b"v2t"
    assert len(said) == 1


def test_what_was_gathered_is_not_gathered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_programs(monkeypatch)
    first = gather_wheels(tmp_path, "amd64", "3.11", lambda _step: None)
    again = gather_wheels(tmp_path, "amd64", "3.11", lambda _step: None)
    assert again == first
    assert sum("download" in call for call in calls) == 1


def test_other_code_is_another_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_programs(monkeypatch)
    first = gather_wheels(tmp_path, "amd64", "3.11", lambda _step: None)

    def build(command: list[str], what: str, folder: Path | None = None) -> None:
        Path(command[-1], "v2t-0.1.0-py3-none-any.whl").write_bytes(b"v2t, changed")

    monkeypatch.setattr(wheelhouse, "_run", build)
    second = gather_wheels(tmp_path, "amd64", "3.11", lambda _step: None)
    assert second.release != first.release
    assert (first.wheel.read_bytes(), second.wheel.read_bytes()) == (b"v2t", b"v2t, changed")


def test_a_download_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('no such index\\n')"]
    monkeypatch.setattr(wheelhouse, "download_command", lambda _architecture, _python: failing)
    with pytest.raises(ProgramUnavailable, match="the wheels of v2t cannot be had: no such index"):
        gather_wheels(tmp_path, "amd64", "3.11", lambda _step: None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
