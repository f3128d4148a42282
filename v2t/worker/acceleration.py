"""What the installed engines can compute on, as they say themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from v2t.domain.errors import ConfigurationError
from v2t.providers.engine_probe import parse_answer
from v2t.providers.engines import Engines

DRIVEN = frozenset({"cpu", "cuda"})
"""What v2t's engines are told to compute on, whatever their libraries could: a name is added here together with the
code in `providers/` that does it, and health pages then show it as used."""

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
    passed_over: tuple[str, ...] = ()  # engines that would be faster but do not work here, each with its reason


def find_acceleration(wanted: str, provider: str, engines: Engines) -> Acceleration:
    """Ask the engines that a provider name may mean what they can compute on, until one works, and choose.

    Args:
        wanted: auto, or what it must be.
        provider: as in requests.
        engines: of this machine.

    Raises:
        ConfigurationError: what is wanted is not there, or no engine works.
        EngineNotInstalled, UnknownProvider: the provider is not usable here.
    """
    passed_over: list[str] = []
    for engine in engines.candidates(provider):
        probe = engines.examine(engine.name)
        if not probe.trouble:
            return replace(choose_acceleration(wanted, engine.name, probe.said), passed_over=tuple(passed_over))
        passed_over.append(f"{engine.name}: {probe.trouble}")
    raise ConfigurationError(f"no speech engine works here: {'; '.join(passed_over)}")


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
