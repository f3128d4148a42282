from __future__ import annotations

from pathlib import Path

import pytest

from v2t.cli.outputs import Outputs
from v2t.domain.errors import UsageError
from v2t.domain.subtitles import SubtitleLimits
from v2t.domain.transcript import Segment, Transcript
from v2t.gathering.finding import Recording

TRANSCRIPT = Transcript(1.0, (Segment(0.0, 1.0, "hello"),), language="en")


def recording(name: str, folder: str = "") -> Recording:
    return Recording(Path("/in") / folder / name, Path(folder))


def test_transcripts_stand_in_folders_like_those_of_their_sources(tmp_path: Path) -> None:
    outputs = Outputs("txt,srt", tmp_path, beside=False)
    written = outputs.write(recording("a.wav", "deep/er"), TRANSCRIPT, SubtitleLimits())
    assert written == (tmp_path / "deep/er/a.txt", tmp_path / "deep/er/a.srt")
    assert written[0].read_text() == "hello\n"


def test_two_recordings_of_one_name_do_not_write_over_each_other(tmp_path: Path) -> None:
    outputs = Outputs("txt", tmp_path, beside=False)
    twins = [recording("a.wav"), recording("a.mp3"), recording("a.wav", "deep")]
    outputs.refuse_shared_targets(twins)
    assert [outputs.targets(twin)[0].relative_to(tmp_path) for twin in twins] == [
        Path("a.wav.txt"),
        Path("a.mp3.txt"),
        Path("deep/a.txt"),
    ]


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    outputs = Outputs("txt,srt", tmp_path, beside=False)
    for name in ("done.txt", "done.srt", "half.txt"):
        (tmp_path / name).touch()
    items = [recording("done.wav"), recording("half.wav"), recording("new.wav")]
    assert outputs.missing(items) == items[1:]


@pytest.mark.parametrize(
    ("formats", "folder", "beside"), [("doc", None, False), ("", None, False), ("txt", Path("out"), True)]
)
def test_options_that_make_no_sense_are_refused_at_once(formats: str, folder: Path | None, beside: bool) -> None:
    with pytest.raises(UsageError):
        Outputs(formats, folder, beside=beside)


def test_nothing_is_wanted_unless_a_place_is_named() -> None:
    assert not Outputs("txt,srt", None, beside=False).are_wanted
    assert Outputs("txt", None, beside=True).targets(recording("a.wav")) == [Path("/in/a.txt")]
