from __future__ import annotations

import logging
import platform
from contextlib import suppress
from pathlib import Path

import pytest

from v2t.domain.errors import ConfigurationError, EngineCrashed
from v2t.providers.engine_probe import Probe
from v2t.providers.engines import Engines
from v2t.providers.table import LocalProvider

WORKS = Probe("CUDA = 0")


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def finish_job(engines: Engines, name: str, failure: str = "") -> None:
    """A job that ends well, or whose process dies of a signal."""
    with suppress(EngineCrashed), engines.job(name):
        if failure:
            raise EngineCrashed(failure)


@pytest.fixture(autouse=True)
def _of_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_one_crash_says_little_and_a_job_that_ends_well_takes_it_back() -> None:
    engines = Engines()
    for failure in ("SIGSEGV", "", "SIGSEGV"):
        finish_job(engines, "faster_whisper", failure)
        assert engines.resolve("local").name == "faster_whisper"


def test_an_engine_that_crashes_twice_in_a_row_is_passed_over_for_a_while(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    engines = Engines(clock=clock)
    finish_job(engines, "faster_whisper", "SIGSEGV")
    finish_job(engines, "faster_whisper", "SIGILL")
    assert engines.resolve("local").name == "whisper_cpp"
    assert engines.resolve("faster_whisper").name == "faster_whisper"
    assert engines.trouble("faster_whisper") == "SIGILL"
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, "faster_whisper is passed over: SIGILL")
    ]
    clock.now = 601.0
    assert engines.resolve("local").name == "faster_whisper"
    finish_job(engines, "faster_whisper", "SIGILL")
    assert engines.resolve("local").name == "whisper_cpp"
    clock.now = 1300.0
    finish_job(engines, "faster_whisper")
    assert engines.trouble("faster_whisper") == ""


def test_processes_that_die_together_are_one_crash(clock: Clock) -> None:
    engines = Engines(clock=clock)
    with suppress(EngineCrashed), engines.job("faster_whisper"):
        clock.now = 5.0
        finish_job(engines, "faster_whisper", "SIGKILL")
        raise EngineCrashed("SIGKILL")
    assert engines.resolve("local").name == "faster_whisper"
    clock.now = 6.0
    finish_job(engines, "faster_whisper", "SIGKILL")
    assert engines.resolve("local").name == "whisper_cpp"


def test_where_all_have_failed_the_fastest_is_tried_again() -> None:
    engines = Engines()
    for name in ("faster_whisper", "whisper_cpp"):
        for _ in range(2):
            finish_job(engines, name, "SIGSEGV")
    assert engines.resolve("local").name == "faster_whisper"


def test_an_engine_is_asked_once_and_what_it_said_is_kept() -> None:
    asked: list[str] = []

    def probe(engine: LocalProvider) -> Probe:
        asked.append(engine.name)
        return Probe("", "SIGILL") if engine.name == "faster_whisper" else WORKS

    engines = Engines(probe=probe)
    assert engines.resolve("local").name == "faster_whisper"
    assert [engines.examine(name).trouble for name in ("faster_whisper", "whisper_cpp", "faster_whisper")] == [
        "SIGILL",
        "",
        "SIGILL",
    ]
    assert asked == ["faster_whisper", "whisper_cpp"]
    assert engines.resolve("local").name == "whisper_cpp"


def test_a_program_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    Engines().check_settings()
    Engines(("sh",)).check_settings()
    gone, data = tmp_path / "gone", tmp_path / "data"
    data.write_text("")
    for path, what in ((gone, "is not there"), (data, "is no program that may be run"), (tmp_path, "is no program")):
        with pytest.raises(ConfigurationError, match=rf"^{path}, which engine\.whisper_cli names, {what}"):
            Engines((str(path),)).check_settings()


def test_a_program_that_goes_away_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    file = tmp_path / "whisper-cli"
    file.touch(mode=0o700)
    engines = Engines((str(file),))
    assert engines.resolve("local").program == (str(file),)
    file.unlink()
    assert engines.resolve("local").name == "faster_whisper"
    with pytest.raises(ConfigurationError, match=r"engine\.whisper_cli"):
        engines.resolve("whisper_cpp")
