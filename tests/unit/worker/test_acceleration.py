from __future__ import annotations

import platform

import pytest

from v2t.domain.errors import ConfigurationError
from v2t.domain.jobs import LOCAL
from v2t.providers.engine_probe import Probe
from v2t.providers.engines import Engines
from v2t.worker.acceleration import choose_acceleration, find_acceleration

PLAIN = "WHISPER : COREML = 0 | OPENVINO = 0 | CPU : SSE3 = 1 | AVX2 = 1 | OPENMP = 1 | REPACK = 1 |"


def test_auto_takes_the_fastest_that_engines_are_run_on() -> None:
    assert choose_acceleration("auto", "whisper_cpp", "VULKAN = 1").used == "cpu"
    found = choose_acceleration("auto", "faster_whisper", "CUDA = 2")
    assert (found.used, found.graphics_cards) == ("cuda", 2)
    assert choose_acceleration("auto", "faster_whisper", "CUDA = 0").used == "cpu"


def test_a_card_that_the_library_could_use_but_v2t_does_not_is_refused_as_that() -> None:
    with pytest.raises(ConfigurationError, match="vulkan, which whisper_cpp could use here, but v2t runs engines on"):
        choose_acceleration("vulkan", "whisper_cpp", "VULKAN = 1")


def test_cpu_is_cpu_also_beside_a_graphics_card() -> None:
    found = choose_acceleration("cpu", "faster_whisper", "CUDA = 1")
    assert (found.used, found.available, found.graphics_cards) == ("cpu", ("cpu", "cuda"), 0)


@pytest.mark.parametrize("wanted", ["cuda", "vulkan", "metal"])
def test_what_is_not_there_is_refused_with_the_next_step(wanted: str) -> None:
    with pytest.raises(ConfigurationError, match=f"worker.acceleration is {wanted}.*only cpu here; .*set it to auto"):
        choose_acceleration(wanted, "whisper_cpp", PLAIN)


@pytest.mark.parametrize("provider", [LOCAL, "faster_whisper", "whisper_cpp"])
def test_the_installed_engines_answer(provider: str) -> None:
    found = find_acceleration("auto", provider, Engines())
    assert "cpu" in found.available
    assert found.used in found.available
    assert found.passed_over == ()


def broken(*names: str) -> Engines:
    """Engines of which those do not work."""
    return Engines(probe=lambda engine: Probe("", "SIGILL") if engine.name in names else Probe(PLAIN))


def test_an_engine_that_does_not_work_is_passed_over_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    engines = broken("faster_whisper")
    found = find_acceleration("auto", LOCAL, engines)
    assert (found.engine, found.used, found.passed_over) == ("whisper_cpp", "cpu", ("faster_whisper: SIGILL",))
    assert engines.resolve(LOCAL).name == "whisper_cpp"


def test_no_engine_that_works_is_refused_with_every_reason() -> None:
    with pytest.raises(ConfigurationError, match="no speech engine works here: faster_whisper: SIGILL; whisper_cpp: S"):
        find_acceleration("auto", LOCAL, broken("faster_whisper", "whisper_cpp"))
    with pytest.raises(ConfigurationError, match=r"works here: whisper_cpp: SIGILL$"):
        find_acceleration("auto", "whisper_cpp", broken("whisper_cpp"))
