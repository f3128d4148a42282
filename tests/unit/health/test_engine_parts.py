from __future__ import annotations

import platform

import pytest

from v2t import wiring
from v2t.config import Settings
from v2t.domain.errors import EngineNotInstalled
from v2t.health import Part, Status
from v2t.health.engine_parts import ask_engines, engine_parts, troubles
from v2t.providers import table
from v2t.providers.engine_probe import Probe
from v2t.providers.engines import Engines


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The engines that do not work; tests change it."""
    names: set[str] = set()

    def open_engines(settings: Settings, _seconds: float) -> Engines:
        probes = {True: Probe("", "its library; does not load"), False: Probe("CUDA = 1")}
        return Engines(settings.engine.whisper_cli, lambda engine: probes[engine.name in names])

    monkeypatch.setattr(wiring, "open_engines", open_engines)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return names


def parts(settings: Settings) -> dict[str, Part]:
    return {part.name: part for part in engine_parts(ask_engines(settings, 1.0))}


def test_the_fastest_engine_that_works_is_the_one_that_computes(broken: set[str]) -> None:
    assert [(part.name, part.status, part.summary) for part in parts(Settings()).values()] == [
        ("engine", Status.OK, "faster_whisper")
    ]
    states = ask_engines(Settings(), 1.0)
    assert [(state.name, state.said) for state in states] == [
        ("faster_whisper", "can compute on cpu, cuda"),
        ("whisper_cpp", "can compute on cpu, cuda"),
    ]
    assert troubles(Settings(), 1.0) == {}


def test_one_that_does_not_work_is_shown_as_passed_over_with_its_reason(broken: set[str]) -> None:
    broken.add("faster_whisper")
    found = parts(Settings())
    assert (found["engine"].status, found["engine"].summary) == (Status.OK, "whisper_cpp")
    over = found["engine faster_whisper"]
    assert (over.status, over.summary, over.next_step) == (
        Status.DEGRADED,
        "is passed over: its library",
        "does not load",
    )
    assert troubles(Settings(), 1.0) == {"faster_whisper": "its library; does not load"}


def test_where_none_works_nothing_can_be_transcribed(broken: set[str]) -> None:
    broken |= {"faster_whisper", "whisper_cpp"}
    (engine,) = parts(Settings()).values()
    assert (engine.status, engine.required) == (Status.FAILED, True)
    assert troubles(Settings(), 1.0)["local"] == "no speech engine works here"


def test_a_program_that_is_not_there_is_trouble_and_an_engine_that_nobody_installed_is_not(
    broken: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.model_validate({"engine": {"whisper_cli": "/none/whisper-cli -x"}})
    assert settings.engine.whisper_cli == ("/none/whisper-cli", "-x")
    assert "engine.whisper_cli names, is not there" in parts(settings)["engine whisper_cpp"].summary
    monkeypatch.setattr(table, "is_installed", lambda _provider: False)
    (engine,) = parts(settings).values()
    assert engine.status == Status.FAILED
    with pytest.raises(EngineNotInstalled):
        parts(Settings())
