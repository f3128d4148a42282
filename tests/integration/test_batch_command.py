from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.command import Command, finish, interrupt
from support.recordings import decode, tile, write_wav

from v2t.domain.jobs import JobState

MODEL = ("--model", "tiny.en")


@pytest.fixture
def folder(tmp_path: Path, samples: Path) -> Path:
    folder = tmp_path / "recordings"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(samples / "jfk.wav", folder / "jfk.wav")
    shutil.copy(samples / "jfk.wav", folder / "deep" / "twin [1].wav")
    (folder / "bad.mp3").write_text("no music")
    (folder / "empty.ogg").touch()
    (folder / "readme.txt").write_text("not a recording")
    return folder


def test_a_batch_reports_on_every_file_and_bad_ones_sink_nothing(kept: Command, folder: Path, tmp_path: Path) -> None:
    outcome = kept.run("batch", folder, "-r", *MODEL, "-f", "txt,srt", "-o", tmp_path / "out", "--json")
    assert outcome.exit_code == 1
    data = outcome.json["data"]
    assert {file["name"]: file["state"] for file in data["files"]} == {
        "bad.mp3": JobState.FAILED,
        "jfk.wav": JobState.COMPLETED,
        "deep/twin [1].wav": JobState.COMPLETED,
    }
    assert [item["file"] for item in data["unread"]] == ["empty.ogg"]
    assert (data["completed"], data["failed"]) == (2, 2)
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert written == {"jfk.txt", "jfk.srt", "deep/twin [1].txt", "deep/twin [1].srt"}
    assert "country" in (tmp_path / "out" / "deep" / "twin [1].txt").read_text()


def test_the_report_is_for_people_too_and_can_be_had_again(kept: Command, folder: Path) -> None:
    outcome = kept.run("batch", folder, *MODEL)
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines()[0].split() == ["FILE", "STATE", "WHY"]
    assert "3 files: 1 completed, 2 not" in outcome.stdout
    assert outcome.complaint == "2 of 3 files got no transcript."
    batch = kept.run("batches", "list", "--json").json["data"]["batches"][0]["batch_id"]
    assert batch in outcome.stderr
    shown = kept.run("batches", "show", batch)
    assert (shown.exit_code, shown.stdout.startswith(f"{batch}: completed")) == (0, True)
    report = kept.run("batches", "report", batch)
    assert "bad.mp3" in report.stdout
    assert report.exit_code == 1


def test_what_has_its_output_is_skipped(kept: Command, folder: Path) -> None:
    for name in ("bad.txt", "empty.txt"):
        (folder / name).touch()
    first = kept.run("batch", folder, *MODEL, "--beside", "--skip-existing")
    assert first.exit_code == 0, first.stderr
    assert (folder / "jfk.txt").exists()
    second = kept.run("batch", folder, *MODEL, "--beside", "--skip-existing")
    assert second.exit_code == 0
    assert "3 skipped" in second.stderr


def test_a_batch_without_waiting_is_followed_later(kept: Command, folder: Path) -> None:
    accepted = kept.run("batch", folder / "jfk.wav", folder / "bad.mp3", *MODEL, "--no-wait")
    assert accepted.exit_code == 0
    (batch,) = accepted.stdout.split()
    watched = kept.run("batches", "watch", batch)
    assert watched.exit_code == 1
    assert "2 files: 1 completed, 1 not" in watched.stdout
    again = kept.run("batches", "retry", batch)
    assert again.exit_code == 0, again.stderr
    assert kept.run("batches", "watch", batch).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "0 completed, 1 not"),
        (("s3://other/incoming/",), "s3://v2t-audio/"),
        ((".", "--no-wait", "--output", "x"), "--no-wait writes no files"),
        ((".", "--skip-existing"), "--skip-existing needs"),
        ((".", "--format", "doc"), "not a format"),
    ],
)
def test_a_batch_that_is_asked_for_wrongly(kept: Command, arguments: tuple[str, ...], words: str) -> None:
    outcome = kept.run("batch", *arguments)
    assert outcome.exit_code in {1, 2}
    assert words in outcome.stdout + outcome.stderr


def test_a_folder_without_recordings(kept: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    outcome = kept.run("batch", tmp_path)
    assert outcome.exit_code == 2
    assert "There are no recordings" in outcome.complaint
    assert "1 other file" in outcome.complaint


def test_a_watched_folder_once(kept: Command, folder: Path) -> None:
    quick = Command(kept.folder, kept.models, {**kept.extra, "V2T_BATCH__SETTLE_SECONDS": "0.3"})
    first = quick.run("watch", folder, *MODEL, "--beside", "--once", "--json")
    assert first.exit_code == 1
    files = {Path(file["file"]).name: file["error"] for file in first.json["data"]["files"]}
    assert files["jfk.wav"] is None
    assert files["bad.mp3"]["code"] == "NotAudio"
    assert (folder / "jfk.txt").exists()
    (folder / "bad.mp3").unlink()
    second = quick.run("watch", folder, *MODEL, "--beside", "--once")
    assert (second.exit_code, second.stderr) == (0, "")


def test_a_watched_folder_takes_what_appears_until_ctrl_c(kept: Command, tmp_path: Path, samples: Path) -> None:
    watched, out = tmp_path / "watched", tmp_path / "out"
    watched.mkdir()
    quick = Command(kept.folder, kept.models, {**kept.extra, "V2T_BATCH__SETTLE_SECONDS": "0.3"})
    process = quick.start("watch", watched, *MODEL, "--output", out)
    shutil.copy(samples / "jfk.wav", watched / "new.wav")
    assert process.stderr
    for line in process.stderr:
        if "wrote" in line:
            break
    assert (out / "new.txt").exists()
    interrupt(process)
    outcome = finish(process)
    assert outcome.exit_code == 130


def test_the_same_jobs_are_found_by_batch_and_text(kept: Command, folder: Path) -> None:
    kept.run("batch", folder, *MODEL)
    found = kept.run("jobs", "list", "--text", "BAD.mp3", "--since", "1h", "--state", "failed", "--json")
    assert [job["name"] for job in found.json["data"]["jobs"]] == ["bad.mp3"]
    assert kept.run("jobs", "list", "--until", "1h", "--json").json["data"]["jobs"] == []
    assert kept.run("jobs", "list", "--user", "nobody", "--json").json["data"]["jobs"] == []


def test_a_job_is_paused_hurried_and_resumed(kept: Command, samples: Path, tmp_path: Path) -> None:
    speech = decode(samples / "austen.flac")
    long = write_wav(tmp_path / "long.wav", tile([speech], 600.0))
    (job,) = kept.run("transcribe", long, *MODEL, "--no-wait").stdout.split()
    paused = kept.run("jobs", "pause", job)
    assert paused.exit_code == 0, paused.stderr
    assert kept.run("jobs", "priority", job, "1").exit_code == 0
    assert kept.run("jobs", "show", job, "--json").json["data"]["progress"]["stage"] == "paused"
    assert kept.run("jobs", "resume", job).exit_code == 0
    assert kept.run("jobs", "cancel", job).exit_code == 0
    for words in (("pause", job), ("resume", job), ("priority", job, "2")):
        refused = kept.run("jobs", *words)
        assert (refused.exit_code, refused.complaint) == (2, f"{job} is cancelled; it does not run.")


def test_a_cancelled_batch_reports_what_was_done_before(kept: Command, samples: Path, tmp_path: Path) -> None:
    speech = decode(samples / "austen.flac")
    write_wav(tmp_path / "long.wav", tile([speech], 900.0))
    (batch,) = kept.run("batch", tmp_path, *MODEL, "--no-wait").stdout.split()
    assert kept.run("batches", "pause", batch).exit_code == 0
    assert kept.run("batches", "priority", batch, "1").exit_code == 0
    assert kept.run("batches", "resume", batch).exit_code == 0
    assert kept.run("batches", "cancel", batch).exit_code == 0
    watched = kept.run("batches", "watch", batch)
    assert watched.exit_code == 1
    assert "1 file: 0 completed, 1 not" in watched.stdout
