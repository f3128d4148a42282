from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from v2t.config import Settings
from v2t.domain.errors import ConfigurationError, EngineNotInstalled, UnknownProvider
from v2t.providers.engine import LocalEngine
from v2t.providers.table import (
    LOCAL_PROVIDERS,
    REMOTE_PROVIDERS,
    LocalProvider,
    RemoteProvider,
    candidates_for,
    check_name,
    is_installed,
    load_class,
    local_providers,
    resolve_provider,
)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The libraries that are there; tests change it."""
    libraries = {"faster_whisper", "pywhispercpp"}

    def find_spec(name: str, _package: str | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, None) if name in libraries else None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    return libraries


@pytest.mark.parametrize("provider", LOCAL_PROVIDERS.values(), ids=lambda provider: provider.name)
def test_every_provider_can_be_loaded_and_knows_its_own_name(provider: LocalProvider) -> None:
    kind = load_class(provider)
    assert issubclass(kind, LocalEngine)
    assert (kind.name, kind.model_format) == (provider.name, provider.model_format)
    module, _, function = kind.job.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("provider", REMOTE_PROVIDERS.values(), ids=lambda provider: provider.name)
def test_every_provider_elsewhere_can_be_loaded_and_has_a_section_of_its_name(provider: RemoteProvider) -> None:
    assert load_class(provider).name == provider.name  # type: ignore[attr-defined]
    assert provider.name in Settings.model_fields


@pytest.mark.parametrize("name", ["local", *LOCAL_PROVIDERS, *REMOTE_PROVIDERS])
def test_all_of_them_are_names_of_providers(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", REMOTE_PROVIDERS)
def test_a_provider_elsewhere_is_no_engine_of_this_machine(name: str) -> None:
    with pytest.raises(UnknownProvider, match=f"{name} is not an engine of this machine; there are faster_whisper"):
        resolve_provider(name)


def test_a_provider_elsewhere_whose_library_is_missing_names_its_extra(installed: set[str]) -> None:
    installed.clear()
    with pytest.raises(EngineNotInstalled, match=r"openai is not installed; `pip install 'v2t\[openai\]'`"):
        load_class(REMOTE_PROVIDERS["openai"])


@pytest.mark.parametrize(
    ("machine", "libraries", "chosen"),
    [
        ("x86_64", {"faster_whisper", "pywhispercpp"}, "faster_whisper"),
        ("AMD64", {"faster_whisper", "pywhispercpp"}, "faster_whisper"),
        ("aarch64", {"faster_whisper", "pywhispercpp"}, "whisper_cpp"),
        ("x86_64", {"pywhispercpp"}, "whisper_cpp"),
        ("arm64", {"faster_whisper"}, "faster_whisper"),
    ],
)
def test_local_is_the_fastest_engine_installed(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], machine: str, libraries: set[str], chosen: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    installed.intersection_update(libraries)
    assert resolve_provider("local").name == chosen


def test_no_engine_at_all_names_the_next_step(installed: set[str]) -> None:
    installed.clear()
    with pytest.raises(EngineNotInstalled, match=r"pip install 'v2t\[local\]'"):
        resolve_provider("local")


def test_a_program_stands_for_the_library_it_makes_unnecessary(installed: set[str]) -> None:
    installed.clear()
    engines = local_providers(("sh", "-x"))
    assert resolve_provider("local", engines).program == ("sh", "-x")
    kind = load_class(engines["whisper_cpp"])
    assert issubclass(kind, LocalEngine)
    assert (kind.name, kind.model_format) == ("whisper_cpp", "ggml")
    assert not is_installed(LOCAL_PROVIDERS["whisper_cpp"])


def test_a_program_that_is_not_there_is_told_before_a_library_that_is_not(installed: set[str]) -> None:
    installed.clear()
    with pytest.raises(ConfigurationError, match=r"^/none, which engine\.whisper_cli names, is not there"):
        resolve_provider("local", local_providers(("/none",)))


def test_an_engine_in_trouble_is_passed_over_unless_all_are(installed: set[str]) -> None:
    first, second = (engine.name for engine in candidates_for("local"))
    assert resolve_provider("local", trouble={first: "SIGILL", second: ""}.__getitem__).name == second
    assert resolve_provider("local", trouble=lambda _name: "SIGILL").name == first
    assert resolve_provider(first, trouble=lambda _name: "SIGILL").name == first


def test_a_named_engine_that_is_missing_names_its_extra(installed: set[str]) -> None:
    installed.discard("faster_whisper")
    with pytest.raises(EngineNotInstalled, match=r"pip install 'v2t\[faster-whisper\]'"):
        resolve_provider("faster_whisper")


def test_an_unknown_provider_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownProvider, match="'siri'; there are auto, local, faster_whisper, whisper_cpp, openai"):
        resolve_provider("siri")


def test_choosing_an_engine_loads_none() -> None:
    program = (
        "import sys\n"
        "from v2t.providers.table import resolve_provider\n"
        "resolve_provider('local')\n"
        "print([name for name in ('faster_whisper', 'ctranslate2', 'pywhispercpp', 'numpy') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"
