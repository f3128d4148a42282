"""`make durability`: real processes are killed in the middle of a long file; nothing is lost, nothing done twice.

V2T_DURABILITY_ROUNDS says how often each case runs; 1 by default.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench.recording import make_recording
from support.command import Command, finish
from support.processes import children_of, until

pytestmark = pytest.mark.durability

_SECONDS = 300.0
_PATIENCE_SECONDS = 180.0
_ROUNDS = range(int(os.environ.get("V2T_DURABILITY_ROUNDS", "1")))


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recording(tmp_path_factory.mktemp("recording") / "long.wav", _SECONDS).path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, models_folder: Path, recording: Path) -> Any:
    """What a run gives that nobody disturbs."""
    command = Command(tmp_path_factory.mktemp("undisturbed"), models_folder)
    command.folder.mkdir(exist_ok=True)
    outcome = finish(start(command, recording), _PATIENCE_SECONDS)
    assert outcome.exit_code == 0, outcome.stderr
    found = said(command)
    assert len(found["segments"]) > 20
    return found


@pytest.mark.parametrize("round_", _ROUNDS)
def test_a_killed_command_goes_on_from_its_finished_chunks(
    v2t: Command, recording: Path, undisturbed: Any, round_: int
) -> None:
    process = start(v2t, recording)
    wait_for_results(v2t, 2)
    process.kill()
    process.communicate()
    v2t.assert_nothing_runs()
    finished = results(v2t)

    again = start(v2t, recording)
    seen = watch_results(v2t, again)
    outcome = finish(again, _PATIENCE_SECONDS)

    assert outcome.exit_code == 0, outcome.stderr
    assert said(v2t) == undisturbed
    assert finished
    assert {path: seen[path] for path in finished} == finished, "a finished chunk was transcribed again"


@pytest.mark.parametrize("round_", _ROUNDS)
def test_a_killed_engine_costs_its_chunk_only(v2t: Command, recording: Path, undisturbed: Any, round_: int) -> None:
    survive(v2t, recording, undisturbed, lambda command: "process.child" in command)


@pytest.mark.parametrize("round_", _ROUNDS)
def test_a_killed_temporal_server_is_started_again(
    v2t: Command, recording: Path, undisturbed: Any, round_: int
) -> None:
    survive(v2t, recording, undisturbed, lambda command: "start-dev" in command)


def start(v2t: Command, recording: Path) -> subprocess.Popen[str]:
    """Into a file: a pipe that nobody reads would stop the command when it is full."""
    options = ("--model", "tiny.en", "--format", "json", "--output", v2t.folder / "out")
    return v2t.start("transcribe", recording, *options)


def survive(v2t: Command, recording: Path, undisturbed: Any, is_victim: Callable[[str], bool]) -> None:
    """Kill the children that `is_victim` picks in mid-file: the same call still gives the same result."""
    process = start(v2t, recording)
    wait_for_results(v2t, 1)
    victims = [pid for pid, command in children_of(process.pid).items() if is_victim(command)]
    finished = results(v2t)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    seen = watch_results(v2t, process)
    outcome = finish(process, _PATIENCE_SECONDS)

    assert victims
    assert outcome.exit_code == 0, outcome.stderr
    assert said(v2t) == undisturbed
    assert {path: seen[path] for path in finished} == finished, "a finished chunk was transcribed again"


def results(v2t: Command) -> dict[Path, int]:
    """The stored chunk results and when each was written, in ns."""
    found = {}
    for path in (v2t.data / "objects").glob("t-*/chunks/*.json"):
        try:
            found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:  # the job is done and cleans up
            continue
    return found


def wait_for_results(v2t: Command, count: int) -> None:
    asyncio.run(until(lambda: len(results(v2t)) >= count, f"{count} chunks are done", _PATIENCE_SECONDS))


def watch_results(v2t: Command, process: subprocess.Popen[str]) -> dict[Path, int]:
    """The last time each chunk result was written while the process ran."""
    seen: dict[Path, int] = {}
    while process.poll() is None:
        seen |= results(v2t)
        time.sleep(0.02)
    return seen


def said(v2t: Command) -> dict[str, Any]:
    """What must not depend on what happened on the way."""
    document = json.loads((v2t.folder / "out" / "long.json").read_text())
    return {name: document[name] for name in ("segments", "dropped", "language", "duration_seconds", "provider")}
