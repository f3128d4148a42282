"""The shell that supervises a command, run here as sshd runs it there: without a terminal, in a session of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.processes import processes_about, wait_for

from v2t.providers.ssh_supervisor import ENDED, READY, REFUSED, supervised

TOKEN = "token"  # noqa: S105 - no secret


@dataclass
class Supervisor:
    """One that runs, and what it says."""

    process: subprocess.Popen[str]
    folder: Path

    def until(self, word: str) -> list[str]:
        """What it says before its own word, and what follows that."""
        assert self.process.stdout
        said: list[str] = []
        for line in self.process.stdout:
            if line.startswith(f"{TOKEN} {word}"):
                return [*said, line.removeprefix(f"{TOKEN} {word}").strip()]
            said += [line.strip()] if line.strip() else []
        raise AssertionError(f"it ended, and said {said}")

    def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def leave(self) -> None:
        """What a broken connection does."""
        assert self.process.stdin
        self.process.stdin.close()

    def is_over(self) -> bool:
        return not self.folder.exists() and not processes_about(str(self.folder))


Supervise = Callable[..., Supervisor]


@pytest.fixture(params=["setsid", "job control"])
def search_path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the shell finds programs: all of them, or as on macOS, whose sh is bash and which has no setsid."""
    if request.param == "setsid":
        return "/usr/bin:/bin"
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, program in {"sh": "bash", "mkdir": "mkdir", "rm": "rm", "sleep": "sleep", "touch": "touch"}.items():
        found = shutil.which(program)
        assert found
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.fixture
def supervise(tmp_path: Path, search_path: str) -> Iterator[Supervise]:
    started: list[subprocess.Popen[str]] = []

    def start(*argv: str, folder: Path | None = None, seconds: float = 60.0) -> Supervisor:
        folder = folder or tmp_path / "work"
        process = subprocess.Popen(
            ["/bin/sh", "-c", supervised(list(argv), folder=str(folder), token=TOKEN, seconds=seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": search_path, "HOME": str(tmp_path)},
            start_new_session=True,
        )
        started.append(process)
        return Supervisor(process, folder)

    yield start
    for process in started:
        process.kill()
        with suppress(BrokenPipeError), process:
            pass


def test_the_command_runs_when_told_and_all_ends_with_stdin(supervise: Supervise, tmp_path: Path) -> None:
    written = tmp_path / "work" / "written"
    one = supervise("touch", str(written))
    one.until(READY)
    assert one.folder.stat().st_mode & 0o777 == 0o700
    assert not written.exists()
    one.say("run\n")
    assert one.until(ENDED) == ["0"]
    assert written.exists()
    one.leave()
    assert one.process.wait(5) == 0
    assert one.is_over()


def test_the_command_gets_its_words_as_they_are_and_its_output_is_dropped(supervise: Supervise) -> None:
    hostile = ["", "a b", "it's", '"', "$(touch x)", "`id`", "line\nbreak", "-n", "é;&|<>*?~!{}"]
    one = supervise("sh", "-c", 'echo heard; for word do printf "[%s]" "$word"; done >&2', "sh", *hostile)
    one.until(READY)
    one.say("run\n")
    *said, code = one.until(ENDED)
    assert code == "0"
    assert "\n".join(said) == "".join(f"[{word}]" for word in hostile)


def test_a_folder_with_a_hostile_name_is_made_and_removed(supervise: Supervise, tmp_path: Path) -> None:
    folder = tmp_path / "a 'b' \"c\" $(touch x)\n;*" / "-rf"
    folder.parent.mkdir()
    one = supervise("true", folder=folder)
    one.until(READY)
    assert folder.is_dir()
    one.leave()
    wait_for(one.is_over, "the folder is removed")
    assert list(folder.parent.iterdir()) == []


def test_what_never_began_leaves_nothing(supervise: Supervise, tmp_path: Path) -> None:
    one = supervise("touch", str(tmp_path / "ran"))
    one.until(READY)
    (one.folder / "half an upload").write_bytes(b"1")
    one.leave()
    wait_for(one.is_over, "the folder is removed")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_cannot_be_made_is_refused_with_the_reason(supervise: Supervise, tmp_path: Path) -> None:
    one = supervise("true", folder=tmp_path / "none" / "work")
    *reason, _ = one.until(REFUSED)
    assert reason[-1].endswith("No such file or directory")
    assert one.process.wait(5) == 1


@pytest.mark.parametrize(
    ("body", "code"), [("exit 3", 3), ("kill -KILL $$", 137), ("kill -SEGV $$", 139), ("none-such", 127)]
)
def test_how_the_command_ended_is_told(supervise: Supervise, body: str, code: int) -> None:
    one = supervise("sh", "-c", body)
    one.until(READY)
    one.say("run\n")
    assert int(one.until(ENDED)[-1]) == code


def test_a_program_that_is_not_there_is_told(supervise: Supervise) -> None:
    one = supervise("/none/whisper-cli")
    one.until(READY)
    one.say("run\n")
    *said, code = one.until(ENDED)
    assert code == "127"
    assert "/none/whisper-cli" in said[-1]


def hold(supervise: Supervise, folder: Path, seconds: float = 60.0) -> Supervisor:
    """A command that works, has a child, and ends for no signal that can be ignored."""
    body = "trap '' TERM HUP INT; echo begun >&2; sleep 1001 & sleep 1000"
    one = supervise("sh", "-c", body, "sh", str(folder / "work"), seconds=seconds)
    one.until(READY)
    one.say("run\n")
    assert one.process.stdout
    assert one.process.stdout.readline() == "begun\n"
    return one


def test_a_command_at_work_ends_with_stdin_and_its_children_too(supervise: Supervise, tmp_path: Path) -> None:
    one = hold(supervise, tmp_path)
    begun = time.monotonic()
    one.leave()
    wait_for(one.is_over, "command and folder are gone", 2.0)
    assert one.process.wait(2) == 0
    assert time.monotonic() - begun < 2


def test_a_command_does_not_outlive_the_shell_that_is_killed(supervise: Supervise, tmp_path: Path) -> None:
    one = hold(supervise, tmp_path)
    one.process.kill()
    one.process.wait()
    wait_for(one.is_over, "command and folder are gone", 5.0)


def test_a_connection_that_nobody_misses_ends_with_its_time(supervise: Supervise, tmp_path: Path) -> None:
    one = hold(supervise, tmp_path, seconds=1)
    wait_for(one.is_over, "command and folder are gone", 5.0)
    with suppress(BrokenPipeError):
        one.leave()
    assert one.process.wait(2) == -signal.SIGKILL
