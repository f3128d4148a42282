from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from v2t.config import Settings
from v2t.domain.errors import ConfigurationError, EngineCrashed, EngineNotInstalled
from v2t.providers import table
from v2t.providers.engine import LocalEngine
from v2t.providers.guarded import Guarded
from v2t.providers.whisper_server import WhisperServer
from v2t.workshop import Workshop

NOTHING = cast("Any", None)


def open_workshop(**sections: dict[str, Any]) -> Workshop:
    return Workshop(Settings.model_validate(sections), NOTHING, NOTHING, {"faster_whisper": "cuda"})


def test_an_engine_computes_on_what_was_found_for_it_and_others_on_the_processor() -> None:
    workshop = open_workshop()
    engines = {name: workshop.open_transcriber(name) for name in ("faster_whisper", "whisper_cpp")}
    told = {name: cast("LocalEngine", engine)._acceleration for name, engine in engines.items()}
    assert told == {"faster_whisper": "cuda", "whisper_cpp": "cpu"}


def test_local_is_the_next_engine_once_one_keeps_crashing() -> None:
    workshop = open_workshop()
    first = workshop.open_transcriber("local").name
    for _ in range(2):
        assert workshop.open_transcriber("local").name == first
        with suppress(EngineCrashed), workshop._here.job(first):
            raise EngineCrashed("SIGILL")
    assert workshop.open_transcriber("local").name != first
    assert workshop.open_transcriber(first).name == first


def test_whisper_cpp_is_the_program_that_the_settings_name() -> None:
    workshop = open_workshop(engine={"whisper_cli": "sh"})
    assert type(workshop.open_transcriber("whisper_cpp")).__name__ == "WhisperCli"
    workshop = open_workshop(engine={"whisper_cli": "/none/whisper-cli"})
    with pytest.raises(ConfigurationError, match=r"engine\.whisper_cli"):
        workshop.open_transcriber("whisper_cpp")


async def test_a_provider_elsewhere_is_opened_once_with_its_section_and_closed_at_the_end() -> None:
    workshop = open_workshop(whisper_server={"url": "http://10.0.0.7", "model": "large-v3"})
    guarded = cast("Guarded", workshop.open_transcriber("whisper_server"))
    provider = guarded._provider
    assert isinstance(provider, WhisperServer)
    assert provider._settings.model == "large-v3"
    assert workshop.open_transcriber("whisper_server") is guarded
    await workshop.close()
    assert provider._edge.client.is_closed


async def test_a_provider_elsewhere_that_does_not_open_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = open_workshop(elevenlabs={"ca_file": "/none.pem"})
    with pytest.raises(ConfigurationError, match=r"elevenlabs\.ca_file"):
        workshop.open_transcriber("elevenlabs")
    monkeypatch.setattr(table, "is_installed", lambda _provider: False)
    with pytest.raises(EngineNotInstalled, match=r"pip install 'v2t\[openai\]'"):
        workshop.open_transcriber("openai")
    await workshop.close()


async def test_warming_up_for_a_provider_elsewhere_starts_no_engine() -> None:
    workshop = open_workshop()
    workshop.warm_up("whisper_server", "base")
    assert len(workshop._warming) == 1
    assert not workshop._engines
    await asyncio.sleep(0)
    await workshop.close()


def test_providers_elsewhere_cost_nothing_until_they_are_used() -> None:
    program = (
        "import sys\n"
        "from v2t.config import Settings\n"
        "from v2t.workshop import Workshop\n"
        "Workshop(Settings(), None, None)\n"
        "print([name for name in ('openai', 'httpx', 'fabric', 'v2t.providers._http') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"


async def test_a_worker_without_an_engine_hears_no_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(_workshop: Workshop, name: str) -> LocalEngine:
        asked.append(name)
        raise EngineNotInstalled

    monkeypatch.setattr(Workshop, "_open_engine", refuse)
    remote = open_workshop(temporal={"address": "127.0.0.1:9"}, worker={"kind": "remote"})
    bare = open_workshop()
    assert [await workshop._detect_language(tmp_path / "0.wav", "base") for workshop in (remote, bare)] == ["", ""]
    assert asked == ["local"], "one of the kind remote does not even look for an engine"
    await remote.close()
    await bare.close()
