from __future__ import annotations

import os
from pathlib import Path

import pytest

from v2t.cli.destination import Destination
from v2t.domain.errors import StorageFull, StorageUnwritable, UsageError
from v2t.domain.formats import Format
from v2t.domain.subtitles import SubtitleLimits
from v2t.domain.transcript import Segment, Transcript, Word

TRANSCRIPT = Transcript(2.0, (Segment(0.0, 1.0, "héllo", (Word("héllo", 0.0, 1.0, 0.9),), 0.9),), language="en")
LIMITS = SubtitleLimits()


def parse(
    formats: str = "txt", folder: Path | None = None, *, beside: bool = False, files: tuple[Path, ...] = ()
) -> Destination:
    return Destination.parse(formats, folder, beside=beside, files=files)


def test_formats_are_read_whatever_their_case_and_spaces_and_once_each() -> None:
    assert parse(" SRT,txt ,srt,", Path("out")).formats == (Format("srt"), Format("txt"))


@pytest.mark.parametrize(
    ("formats", "folder", "beside", "said"),
    [
        ("docx", None, False, "'docx' is not a format; there are txt, srt, vtt, json, tsv, lrc"),
        (" , ", None, False, "names no format"),
        ("txt", Path("out"), True, "exclude each other"),
        ("txt,srt", None, False, "stdout takes one"),
    ],
)
def test_choices_that_contradict(formats: str, folder: Path | None, beside: bool, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(formats, folder, beside=beside)


def test_targets_are_in_the_folder_or_beside_the_source() -> None:
    source = Path("talks/a.b.mp3")
    assert parse("srt,txt", Path("out")).targets(source) == [Path("out/a.b.srt"), Path("out/a.b.txt")]
    assert parse("srt", beside=True).targets(source) == [Path("talks/a.b.srt")]


def test_sources_of_the_same_stem_do_not_share_a_target() -> None:
    same = (Path("x/a.wav"), Path("x/a.mp3"), Path("y/b.mp3"))
    destination = parse("txt", Path("out"), files=same)
    assert [destination.targets(file)[0].name for file in same] == ["a.wav.txt", "a.mp3.txt", "b.txt"]
    assert parse(beside=True, files=(Path("x/a.wav"), Path("y/a.wav"))).targets(Path("x/a.wav")) == [Path("x/a.txt")]


def test_sources_that_would_write_over_each_other_are_refused() -> None:
    same = (Path("x/a.wav"), Path("y/a.wav"))
    with pytest.raises(
        UsageError, match=r"x/a\.wav and y/a\.wav would both be written to out/a\.wav\.txt; use --beside"
    ):
        parse("txt", Path("out"), files=same)
    assert parse("txt", files=same).is_stdout
    assert parse("txt", Path("out"), files=(same[0], same[0])).targets(same[0]) == [Path("out/a.wav.txt")]


def test_what_is_complete_is_skipped_and_what_is_not_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tmp_path / "a.wav", tmp_path / "b.wav"
    destination = parse("txt,srt", tmp_path / "out", files=files)
    (tmp_path / "out").mkdir()
    for name in ("a.txt", "a.srt", "b.txt"):
        (tmp_path / "out" / name).touch()
    assert destination.without_existing(files, quiet=False) == (files[1],)
    assert capsys.readouterr().err == f"v2t: {files[0]}: its output exists, skipped\n"
    assert destination.without_existing(files, quiet=True) == (files[1],)
    assert capsys.readouterr().err == ""


def test_stdout_has_nothing_to_skip() -> None:
    with pytest.raises(UsageError, match="--skip-existing needs"):
        parse().without_existing((), quiet=False)


def test_files_are_written_whole_and_replaced_whole(tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    destination = parse("txt,json", tmp_path / "new" / "out")
    written = destination.write(source, TRANSCRIPT, LIMITS)
    assert [path.name for path in written] == ["a.txt", "a.json"]
    assert written[0].read_text(encoding="utf-8") == "héllo\n"
    written[0].write_text("old " * 100)
    destination.write(source, TRANSCRIPT, LIMITS)
    assert written[0].read_text(encoding="utf-8") == "héllo\n"
    assert sorted(path.name for path in written[0].parent.iterdir()) == ["a.json", "a.txt"]


def test_files_have_the_mode_of_a_persons_other_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        (path,) = parse("txt", tmp_path).write(tmp_path / "a.wav", TRANSCRIPT, LIMITS)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("old")

    def no_space(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(StorageFull, match=r"a\.txt could not be written"):
        parse("txt", tmp_path).write(tmp_path / "a.wav", TRANSCRIPT, LIMITS)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(StorageUnwritable, match="could not be written"):
        parse("txt", tmp_path / "out").write(tmp_path / "a.wav", TRANSCRIPT, LIMITS)


def test_an_interrupt_in_the_middle_of_writing_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        parse("txt", tmp_path).write(tmp_path / "a.wav", TRANSCRIPT, LIMITS)
    assert list(tmp_path.iterdir()) == []
