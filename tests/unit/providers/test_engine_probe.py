from __future__ import annotations

import re
from pathlib import Path

import pytest

from v2t.providers.engine_probe import parse_answer, probe_engine
from v2t.providers.table import LOCAL_PROVIDERS, LocalProvider, local_providers

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
        ("ggml_cuda_init: found 2 CUDA devices:\n  Device 0: NVIDIA H100\nusage: whisper-cli", ("cpu", "cuda"), 2),
        ("ggml_cuda_init: found 0 CUDA devices:\nusage: whisper-cli", ("cpu",), 0),
        ("ggml_vulkan: Found 1 Vulkan devices:\nusage: whisper-cli", ("cpu", "vulkan"), 0),
    ],
)
def test_what_an_engine_says_of_itself_is_understood(answer: str, available: tuple[str, ...], cards: int) -> None:
    assert parse_answer(answer) == (available, cards)


LIBRARIES = {
    "ctranslate2": "def get_cuda_device_count(): return 1",
    "faster_whisper": "",
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
    assert parse_answer(probe_engine(LOCAL_PROVIDERS[provider]).said) == (("cpu", "cuda"), cards)
    monkeypatch.setenv("THERE", "")
    assert parse_answer(probe_engine(LOCAL_PROVIDERS[provider]).said) == (("cpu",), 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", r"SIGILL, it was built for another processor$"),
        ("raise ImportError('libgomp.so.1: cannot open')", r"ImportError: libgomp\.so\.1: cannot open$"),
    ],
    ids=["a signal", "an import"],
)
def test_a_library_that_does_not_load_is_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    (tmp_path / "_pywhispercpp.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe = probe_engine(LOCAL_PROVIDERS["whisper_cpp"])
    assert re.search(rf"^the library of whisper_cpp does not load: {reason}", probe.trouble)
    assert parse_answer(probe.said) == (("cpu",), 0)


def program(folder: Path, text: str) -> LocalProvider:
    """The engine that a shell script pretends to be."""
    file = folder / "whisper-cli"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)
    return local_providers((str(file),))["whisper_cpp"]


def test_a_program_says_what_it_was_built_for_and_is_told_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V2T_OPENAI_API_KEY", "hush")
    engine = program(tmp_path, 'env; echo ggml_cuda_init: found 1 CUDA devices: >&2; echo "$1 -ojf -pp -sns -nf -ng"')
    probe = probe_engine(engine)
    assert (probe.trouble, parse_answer(probe.said)) == ("", (("cpu", "cuda"), 1))
    assert "--help -ojf" in probe.said
    assert "hush" not in probe.said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kill -ILL $$", "does not run: SIGILL, it was built for another processor"),
        ("echo no such library >&2; exit 127", "does not run: no such library"),
        ("exit 3", "does not run: exit code 3"),
        ("echo -ojf -pp -ng", "is no whisper-cli, or an old one: it does not know -sns, -nf"),
    ],
    ids=["another processor", "a library", "no word", "an old one"],
)
def test_a_program_that_cannot_be_used_is_trouble(tmp_path: Path, text: str, reason: str) -> None:
    engine = program(tmp_path, text)
    assert probe_engine(engine).trouble == f"{engine.program[0]} {reason}"


def test_a_program_that_is_gone_is_trouble(tmp_path: Path) -> None:
    gone = local_providers((str(tmp_path / "gone"),))["whisper_cpp"]
    assert probe_engine(gone).trouble == f"{gone.program[0]} cannot be run: No such file or directory"


def test_a_program_that_is_slow_is_taken_to_work(tmp_path: Path) -> None:
    probe = probe_engine(program(tmp_path, "exec sleep 60"), seconds=0.1)
    assert (probe.said, probe.trouble) == ("", "")
