from __future__ import annotations

import pytest

from v2t.domain.errors import ConfigurationError
from v2t.domain.jobs import LOCAL
from v2t.worker import acceleration
from v2t.worker.acceleration import choose_acceleration, find_acceleration, parse_answer

PLAIN = "WHISPER : COREML = 0 | OPENVINO = 0 | CPU : SSE3 = 1 | AVX2 = 1 | OPENMP = 1 | REPACK = 1 |"
OLD = "AVX = 1 | METAL = 0 | CUDA = 0 | VULKAN = 0 |"


@pytest.mark.parametrize(
    ("answer", "available", "cards"),
    [
        ("", ("cpu",), 0),
        (PLAIN, ("cpu",), 0),
        (OLD, ("cpu",), 0),
        ("CUDA = 0", ("cpu",), 0),
        ("CUDA = 2", ("cpu", "cuda"), 2),
        ("WHISPER : COREML = 0 | CUDA : ARCHS = 800 | USE_GRAPHS = 1 | CPU : SSE3 = 1", ("cpu", "cuda"), 1),
        ("WHISPER : COREML = 0 | Metal : EMBED_LIBRARY = 1 | CPU : NEON = 1", ("cpu", "metal"), 0),
        ("WHISPER : COREML = 0 | VULKAN = 1 | CPU : NEON = 1", ("cpu", "vulkan"), 0),
    ],
)
def test_what_an_engine_says_of_itself_is_understood(answer: str, available: tuple[str, ...], cards: int) -> None:
    assert parse_answer(answer) == (available, cards)


def test_auto_takes_the_fastest_that_engines_are_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_acceleration("auto", "faster_whisper", "CUDA = 1").used == "cpu"
    monkeypatch.setattr(acceleration, "DRIVEN", frozenset({"cpu", "cuda"}))
    found = choose_acceleration("auto", "faster_whisper", "CUDA = 2")
    assert (found.used, found.graphics_cards) == ("cuda", 2)
    assert choose_acceleration("auto", "faster_whisper", "CUDA = 0").used == "cpu"


def test_a_card_that_the_library_could_use_but_v2t_does_not_is_refused_as_that() -> None:
    with pytest.raises(ConfigurationError, match="cuda, which faster_whisper could use here, but v2t runs engines on"):
        choose_acceleration("cuda", "faster_whisper", "CUDA = 1")


def test_cpu_is_cpu_also_beside_a_graphics_card() -> None:
    found = choose_acceleration("cpu", "faster_whisper", "CUDA = 1")
    assert (found.used, found.available, found.graphics_cards) == ("cpu", ("cpu", "cuda"), 0)


@pytest.mark.parametrize("wanted", ["cuda", "vulkan", "metal"])
def test_what_is_not_there_is_refused_with_the_next_step(wanted: str) -> None:
    with pytest.raises(ConfigurationError, match=f"worker.acceleration is {wanted}.*only cpu here; .*set it to auto"):
        choose_acceleration(wanted, "whisper_cpp", PLAIN)


@pytest.mark.parametrize("provider", [LOCAL, "faster_whisper", "whisper_cpp"])
def test_the_installed_engines_answer(provider: str) -> None:
    found = find_acceleration("auto", provider)
    assert "cpu" in found.available
    assert found.used in found.available
