"""What each engine's library is told to compute on."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from v2t.providers import faster_whisper, whisper_cpp

PAYLOAD = {"model": "/models/tiny", "threads": 3}


class Library(ModuleType):
    """Stands for an engine's library: notes what its model is loaded with."""

    def __init__(self, name: str, loader: str) -> None:
        super().__init__(name)
        self.loaded: dict[str, Any] = {}
        setattr(self, loader, self._load)

    def _load(self, path: str, **options: Any) -> SimpleNamespace:
        self.loaded = {"path": path, **options}
        return SimpleNamespace()


@pytest.mark.parametrize(
    ("acceleration", "card", "weights"),
    [
        ("cpu", {"float16", "float32"}, "int8"),
        ("cuda", {"float16", "float32"}, "float16"),
        ("cuda", {"float32"}, "float32"),
    ],
)
def test_faster_whisper_computes_on_what_it_is_told_with_what_that_is_fast_at(
    monkeypatch: pytest.MonkeyPatch, acceleration: str, card: set[str], weights: str
) -> None:
    library = Library("faster_whisper", "WhisperModel")
    monkeypatch.setitem(sys.modules, "faster_whisper", library)
    parts = {"set_random_seed": lambda _seed: None, "get_supported_compute_types": lambda _device: card}
    monkeypatch.setitem(sys.modules, "ctranslate2", SimpleNamespace(**parts))
    faster_whisper._load({**PAYLOAD, "acceleration": acceleration})
    loaded = library.loaded
    assert (loaded["path"], loaded["device"], loaded["compute_type"]) == ("/models/tiny", acceleration, weights)
    assert loaded["cpu_threads"] == 3


@pytest.mark.parametrize(("acceleration", "uses_card"), [("cpu", False), ("cuda", True)])
def test_whisper_cpp_computes_on_what_it_is_told(
    monkeypatch: pytest.MonkeyPatch, acceleration: str, uses_card: bool
) -> None:
    library = Library("pywhispercpp.model", "Model")
    monkeypatch.setitem(sys.modules, "pywhispercpp.model", library)
    whisper_cpp._load({**PAYLOAD, "acceleration": acceleration})
    assert (library.loaded["path"], library.loaded["n_threads"]) == ("/models/tiny", 3)
    assert library.loaded["context_params"] == {"use_gpu": uses_card}
