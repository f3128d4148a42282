"""What the installed engines can compute on, as they say themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass

from v2t.domain.errors import ConfigurationError
from v2t.providers.table import resolve_provider

_PROBE_SECONDS = 60.0

DRIVEN = frozenset({"cpu", "cuda"})
"""What v2t's engines are told to compute on, whatever their libraries could: a name is added here together with the
code in `providers/` that does it, and health pages then show it as used."""

_PROBES = {
    "faster_whisper": """
import ctypes, ctranslate2
cards = ctranslate2.get_cuda_device_count()
if cards:
    try:
        ctypes.CDLL("libcublas.so.12")
    except OSError:
        cards = 0
print("CUDA = %d" % cards)
""",
    "whisper_cpp": """
import ctypes, _pywhispercpp
cards = ctypes.c_int()
try:
    driver = ctypes.CDLL("libcuda.so.1")
    driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(cards))
except OSError:
    pass
print(_pywhispercpp.whisper_print_system_info().replace("CUDA :", "CUDA = %d :" % cards.value))
""",
}
"""Asked in a child: an engine's library may crash, and its memory is not the worker's to spend.

CTranslate2 4 counts cards without cuBLAS, which it opens by that name at the first product it computes, and fails
there; whisper.cpp names the CUDA it was built with where no card is, and computes on the processor without a word.
"""

_NEXT_STEP = {
    "cuda": "install the NVIDIA driver and an engine built for CUDA with its libraries (faster_whisper: cuBLAS 12)",
    "vulkan": "install a pywhispercpp built with GGML_VULKAN=1",
    "metal": "use a Mac with Apple silicon and the whisper_cpp engine",
}


@dataclass(frozen=True, slots=True)
class Acceleration:
    """What is computed on."""

    engine: str
    used: str  # cpu, cuda, metal or vulkan
    available: tuple[str, ...]  # to the installed library, the slowest first; cpu always is
    graphics_cards: int = 0


def find_acceleration(wanted: str, provider: str) -> Acceleration:
    """Ask the engine that a provider name means what it can compute on, and choose.

    Args:
        wanted: auto, or what it must be.
        provider: as in requests.

    Raises:
        ConfigurationError: what is wanted is not there.
        EngineNotInstalled, UnknownProvider: the provider is not usable here.
    """
    engine = resolve_provider(provider).name
    return choose_acceleration(wanted, engine, _ask(engine))


def choose_acceleration(wanted: str, engine: str, answer: str) -> Acceleration:
    """Choose from what an engine says of itself. Raises ConfigurationError when the wanted is not there."""
    available, cards = parse_answer(answer)
    driven = [name for name in available if name in DRIVEN]
    if wanted in available and wanted not in driven:
        raise ConfigurationError(
            f"worker.acceleration is {wanted}, which {engine} could use here, but v2t runs engines on "
            f"{', '.join(driven)} only so far; set it to auto"
        )
    if wanted not in {"auto", *available}:
        raise ConfigurationError(
            f"worker.acceleration is {wanted}, but {engine} can use only {', '.join(available)} here; "
            f"{_NEXT_STEP[wanted]}, or set it to auto"
        )
    used = driven[-1] if wanted == "auto" else wanted
    return Acceleration(engine, used, available, cards if used == "cuda" else 0)


def parse_answer(answer: str) -> tuple[tuple[str, ...], int]:
    """What an engine can use, the slowest first, and how many CUDA cards it sees.

    whisper.cpp prints `NAME = 1` or `NAME : FEATURE = 1` for each backend that it was built with; the probe puts the
    number of cards beside CUDA.
    """
    found = ["cpu"]
    cuda = re.search(r"\bCUDA\s*[=:]\s*(\d+)?", answer)
    cards = int(cuda[1] or 1) if cuda else 0
    for name, pattern in (("vulkan", r"\bVULKAN\s*(?:=\s*[1-9]|:)"), ("metal", r"\bMETAL\s*(?:=\s*[1-9]|:)")):
        if re.search(pattern, answer, re.IGNORECASE):
            found.append(name)
    return (*found, *(("cuda",) if cards else ())), cards


def _ask(engine: str) -> str:
    """The engine's own words; none where its library does not even load, which the first chunk will report."""
    command = [sys.executable, "-P", "-c", _PROBES[engine]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
