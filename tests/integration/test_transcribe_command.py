from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from support.command import Command, finish

from v2t.domain.jobs import JobState
from v2t.weights.store import ModelStore

TINY = ("--model", "tiny.en")


def spoken(text: str) -> str:
    return " ".join("".join(letter for letter in text.lower() if letter.isalpha() or letter == " ").split())


KENNEDY = "ask not what your country can do for you"


def test_text_on_stdout_and_talk_on_stderr_and_the_second_time_at_once(v2t: Command, samples: Path) -> None:
    first = v2t.run("transcribe", samples / "jfk.wav", *TINY)
    v2t.assert_nothing_runs()
    second = v2t.run("transcribe", samples / "jfk.wav", *TINY)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert KENNEDY in spoken(first.stdout)
    assert "engine: " in first.stderr
    assert "model tiny.en" in first.stderr
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert v2t.drafts() == []


def test_the_default_model_is_multilingual_and_detects_the_language(v2t: Command, samples: Path) -> None:
    outcome = v2t.run("transcribe", samples / "jfk.wav", "--json", seconds=100)
    assert outcome.exit_code == 0
    assert outcome.json["schema"] == "v2t.result/1"
    (file,) = outcome.json["data"]["files"]
    transcript = file["transcript"]
    assert KENNEDY in spoken(transcript["text"])
    assert (transcript["model"], transcript["language"], transcript["source"]) == ("base", "en", "jfk.wav")
    assert transcript["language_probability"] > 0.8
    assert transcript["job_id"] == file["job_id"]
    assert transcript["timings"]["engine_seconds"] > 0


def test_several_files_and_formats_at_once_into_a_folder(kept: Command, samples: Path, tmp_path: Path) -> None:
    twin = tmp_path / "other" / "jfk.wav"
    twin.parent.mkdir()
    shutil.copy(samples / "jfk.wav", twin)
    wanted = ("--format", "txt,srt,json", "--output", tmp_path / "out")
    outcome = kept.run("transcribe", samples / "jfk.wav", samples / "austen.flac", *wanted)
    assert outcome.exit_code == 0
    assert outcome.stdout == ""
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{stem}.{ending}" for stem in ("jfk", "austen") for ending in ("txt", "srt", "json")}
    assert "00:00:" in (tmp_path / "out" / "jfk.srt").read_text()
    assert json.loads((tmp_path / "out" / "austen.json").read_text())["model"] == "tiny.en"
    assert KENNEDY in spoken((tmp_path / "out" / "jfk.txt").read_text())
    # the same content under another name is known already; what is there is left alone on demand
    again = kept.run("transcribe", twin, "--output", tmp_path / "out", "--skip-existing")
    assert again.exit_code == 0
    assert "its output exists, skipped" in again.stderr


def test_both_engines_can_be_named(kept: Command, samples: Path) -> None:
    outcome = kept.run("transcribe", samples / "jfk.wav", "--provider", "whisper_cpp", "--format", "json")
    assert outcome.exit_code == 0
    transcript = json.loads(outcome.stdout)
    assert KENNEDY in spoken(transcript["text"])
    assert transcript["provider"] == "whisper_cpp"
    assert "engine: whisper_cpp" in outcome.stderr


def test_quiet_says_nothing(kept: Command, samples: Path) -> None:
    outcome = kept.run("transcribe", samples / "jfk.wav", "--quiet", "--fresh")
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert KENNEDY in spoken(outcome.stdout)


def test_a_kept_cluster_takes_jobs_and_answers_about_them(v2t: Command, samples: Path, models_folder: Path) -> None:
    ModelStore(models_folder).ensure("tiny.en", "ct2")
    v2t.extra = {"V2T_MODELS__DEFAULT": "tiny.en"}
    up = v2t.run("up", "--json")
    assert up.exit_code == 0
    accepted = v2t.run("transcribe", samples / "jfk.wav", "--no-wait")
    job_id = accepted.stdout.strip()
    assert job_id.startswith("t-")
    watched = v2t.run("jobs", "watch", job_id)
    assert (watched.exit_code, watched.stdout) == (0, "completed\n")
    assert KENNEDY in spoken(v2t.run("jobs", "result", job_id).stdout)
    (listed,) = v2t.run("jobs", "list", "--json").json["data"]["jobs"]
    assert (listed["job_id"], listed["state"], listed["name"]) == (job_id, JobState.COMPLETED, "jfk.wav")
    shown = v2t.run("jobs", "show", job_id, "--json").json["data"]
    assert (shown["words"], shown["model"]) == (listed["words"], "tiny.en")
    assert "is completed; there is nothing to cancel" in v2t.run("jobs", "cancel", job_id).complaint
    assert "is completed; there is nothing to retry" in v2t.run("jobs", "retry", job_id).complaint
    for verb in ("show", "watch", "result", "cancel", "retry"):
        unknown = v2t.run("jobs", verb, "t-nobody")
        assert (unknown.exit_code, unknown.complaint.startswith("There is no job t-nobody")) == (2, True)
    again = v2t.run("transcribe", samples / "jfk.wav", "--fresh")
    assert "on the cluster that `v2t up` keeps" in again.stderr
    assert v2t.run("up", "--json").json["data"]["pid"] == up.json["data"]["pid"]
    down = v2t.run("down", "--json")
    assert down.json["data"] == {"ended": True}
    v2t.assert_nothing_runs()
    assert v2t.run("down", "--json").json["data"] == {"ended": False}


def test_two_commands_at_once_share_one_cluster(v2t: Command, samples: Path) -> None:
    ModelStore(v2t.models).ensure("tiny.en", "ct2")
    first = v2t.start("transcribe", samples / "jfk.wav", *TINY)
    second = v2t.start("transcribe", samples / "austen.flac", *TINY)
    outcomes = finish(first), finish(second)
    assert [outcome.exit_code for outcome in outcomes] == [0, 0]
    assert KENNEDY in spoken(outcomes[0].stdout)
    assert outcomes[1].stdout.strip()


def test_a_reader_that_goes_away_is_no_drama(kept: Command, samples: Path) -> None:
    kept.run("transcribe", samples / "jfk.wav", "--quiet")
    read, write = os.pipe()
    os.close(read)
    outcome = finish(kept.start("transcribe", samples / "jfk.wav", "--quiet", stdout=write))
    os.close(write)
    assert (outcome.exit_code, outcome.stderr) == (1, "")


@pytest.mark.parametrize("form", ["srt", "vtt", "tsv", "lrc"])
def test_stored_results_come_in_any_format(kept: Command, samples: Path, form: str) -> None:
    outcome = kept.run("transcribe", samples / "jfk.wav", "--quiet", "--format", form)
    assert outcome.exit_code == 0
    assert "country" in outcome.stdout
