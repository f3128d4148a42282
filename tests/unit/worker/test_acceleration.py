from __future__ import annotations

from pathlib import Path

import pytest

from v2t.domain.errors import ConfigurationError
from v2t.domain.jobs import LOCAL
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
        ("WHISPER : COREML = 0 | CUDA = 2 : ARCHS = 800 | USE_GRAPHS = 1 | CPU : SSE3 = 1", ("cpu", "cuda"), 2),
        ("WHISPER : COREML = 0 | CUDA = 0 : ARCHS = 800 | USE_GRAPHS = 1 | CPU : SSE3 = 1", ("cpu",), 0),
        ("WHISPER : COREML = 0 | Metal : EMBED_LIBRARY = 1 | CPU : NEON = 1", ("cpu", "metal"), 0),
        ("WHISPER : COREML = 0 | VULKAN = 1 | CPU : NEON = 1", ("cpu", "vulkan"), 0),
    ],
)
def test_what_an_engine_says_of_itself_is_understood(answer: str, available: tuple[str, ...], cards: int) -> None:
    assert parse_answer(answer) == (available, cards)


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
    found = find_acceleration("auto", provider)
    assert "cpu" in found.available
    assert found.used in found.available


LIBRARIES = {
    "ctranslate2": "def get_cuda_device_count(): return 1",
    "_pywhispercpp": "def whisper_print_system_info(): return 'CUDA : ARCHS = 900 | CPU : SSE3 = 1 |'",
    "ctypes": """
import os
class c_int:
    value = 0
def byref(cell): return cell
class CDLL:
    def __init__(self, name):
        if name not in os.environ["THERE"]: raise OSError(name)
    def cuInit(self, flags): return 0
    def cuDeviceGetCount(self, cell): cell.value = 2
""",
}
"""What the probes import, as on a machine with cards that lacks the libraries not named in THERE."""


@pytest.mark.parametrize(
    ("provider", "library", "cards"),
    [("faster_whisper", "libcublas.so.12", 1), ("whisper_cpp", "libcuda.so.1", 2)],
)
def test_a_card_counts_only_with_the_library_that_computes_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, library: str, cards: int
) -> None:
    for name, text in LIBRARIES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("THERE", library)
    assert find_acceleration("cuda", provider).graphics_cards == cards
    monkeypatch.setenv("THERE", "")
    assert find_acceleration("auto", provider).available == ("cpu",)
