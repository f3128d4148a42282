from __future__ import annotations

import os
from pathlib import Path

import pytest

from v2t.domain.errors import InputNotFound, InputUnreadable
from v2t.gathering.finding import Finding, find_recordings, is_recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.MP3", "notes.txt", ".hidden.wav", "deep/c.mkv", "deep/deeper/d.ogg", "empty/.keep"):
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return tmp_path / "folder"


def names(finding: Finding) -> list[str]:
    return [recording.name for recording in finding.recordings]


def find(*sources: Path | str, recursive: bool = False) -> Finding:
    return find_recordings([str(source) for source in sources], recursive=recursive)


def test_a_folder_holds_what_looks_like_a_recording(folder: Path) -> None:
    finding = find(folder)
    assert names(finding) == ["a.wav", "b.MP3"]
    assert (finding.ignored, finding.failures) == (2, [])


def test_folders_below_are_searched_when_that_is_asked(folder: Path) -> None:
    assert names(find(folder, recursive=True)) == ["a.wav", "b.MP3", "deep/c.mkv", "deep/deeper/d.ogg"]


def test_several_folders_keep_their_names(folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "a.wav").touch()
    assert names(find(folder, other)) == ["folder/a.wav", "folder/b.MP3", "other/a.wav"]


def test_a_named_file_is_taken_whatever_its_ending(folder: Path) -> None:
    assert names(find(folder / "notes.txt")) == ["notes.txt"]


def test_a_pattern_that_the_shell_has_left(folder: Path) -> None:
    finding = find(f"{folder}/**/*")
    assert names(finding) == ["a.wav", "b.MP3", "c.mkv", "d.ogg"]


def test_a_file_whose_name_looks_like_a_pattern(folder: Path) -> None:
    (folder / "[1].wav").touch()
    assert names(find(folder / "[1].wav")) == ["[1].wav"]


def test_no_file_is_found_twice(folder: Path) -> None:
    assert names(find(folder / "a.wav", folder / "a.wav", f"{folder}/a.*")) == ["a.wav"]


def test_what_is_not_there_stops_nothing(folder: Path) -> None:
    finding = find(folder / "no.wav", f"{folder}/nothing*", folder)
    assert len(finding.recordings) == 2
    assert [type(error) for _, error in finding.failures] == [InputNotFound, InputNotFound]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_stops_nothing(folder: Path) -> None:
    (folder / "deep").chmod(0)
    finding = find(folder, recursive=True)
    (folder / "deep").chmod(0o700)
    assert names(finding) == ["a.wav", "b.MP3"]
    assert [type(error) for _, error in finding.failures] == [InputUnreadable]


def test_links_that_lead_in_circles_end(folder: Path) -> None:
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "self").symlink_to("self")
    (folder / "gone.wav").symlink_to("nowhere")
    assert names(find(folder, recursive=True)) == ["a.wav", "b.MP3", "deep/c.mkv", "deep/deeper/d.ogg"]


def test_a_pipe_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe.wav")
    finding = find(folder, folder / "pipe.wav")
    assert "pipe.wav" not in names(finding)


def test_names_in_a_broken_encoding_are_found(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff\n.wav")).touch()
    assert len(find(folder).recordings) == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.wav", True), ("a.b.MP4", True), (".wav", False), ("wav", False), ("a.txt", False), (".a.wav", False)],
)
def test_recordings_are_known_by_their_ending(name: str, expected: bool) -> None:
    assert is_recording(name) is expected
