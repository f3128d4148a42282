"""Provider names, and where each one's class lives: strings, so that nothing loads until it is used."""

from __future__ import annotations

import importlib
import importlib.util
import platform
from dataclasses import dataclass

from v2t.domain.errors import EngineNotInstalled, UnknownProvider
from v2t.domain.jobs import AUTO, LOCAL


@dataclass(frozen=True, slots=True)
class LocalProvider:
    """An engine that runs on this machine."""

    name: str
    target: str  # "module:Class"
    library: str  # the import name of what it needs
    model_format: str  # which kind of model file it loads
    extra: str  # what to install


@dataclass(frozen=True, slots=True)
class RemoteProvider:
    """A service on another machine, which has a section of settings of its name."""

    name: str
    target: str  # "module:Class"
    library: str  # the import name of what it needs
    extra: str  # what to install


Provider = LocalProvider | RemoteProvider

LOCAL_PROVIDERS: dict[str, LocalProvider] = {
    provider.name: provider
    for provider in (
        LocalProvider(
            "faster_whisper", "v2t.providers.faster_whisper:FasterWhisper", "faster_whisper", "ct2", "faster-whisper"
        ),
        LocalProvider("whisper_cpp", "v2t.providers.whisper_cpp:WhisperCpp", "pywhispercpp", "ggml", "whisper-cpp"),
    )
}

REMOTE_PROVIDERS: dict[str, RemoteProvider] = {
    provider.name: provider
    for provider in (
        RemoteProvider("openai", "v2t.providers.openai:OpenAi", "openai", "openai"),
        RemoteProvider("elevenlabs", "v2t.providers.elevenlabs:ElevenLabs", "httpx", "worker"),
        RemoteProvider("whisper_server", "v2t.providers.whisper_server:WhisperServer", "httpx", "worker"),
        RemoteProvider("custom_http", "v2t.providers.custom_http:CustomHttp", "httpx", "worker"),
        RemoteProvider("ssh_whisper", "v2t.providers.ssh_whisper:SshWhisper", "fabric", "ssh"),
    )
}


def is_installed(provider: Provider) -> bool:
    """Whether its library can be imported, found out without importing it."""
    return importlib.util.find_spec(provider.library) is not None


def check_name(name: str) -> None:
    """Whether there is such a provider, installed here or not. Raises UnknownProvider."""
    names = (AUTO, LOCAL, *LOCAL_PROVIDERS, *REMOTE_PROVIDERS)
    if name not in names:
        raise UnknownProvider(f"There is no provider {name!r}; there are {', '.join(names)}.")


def resolve_provider(name: str) -> LocalProvider:
    """The engine a name means on this machine; `local` is the fastest one installed, and `auto` has it as well.

    CTranslate2's int8 kernels are about twice as fast as whisper.cpp on x86 (`make bench` prints the ratio);
    elsewhere whisper.cpp, which has kernels for every machine, comes first.

    Raises:
        UnknownProvider: no such name, or that of a provider on another machine.
        EngineNotInstalled: its library is missing.
    """
    if name in {LOCAL, AUTO}:
        x86 = platform.machine().lower() in {"x86_64", "amd64"}
        order = ("faster_whisper", "whisper_cpp") if x86 else ("whisper_cpp", "faster_whisper")
        for candidate in order:
            if is_installed(LOCAL_PROVIDERS[candidate]):
                return LOCAL_PROVIDERS[candidate]
        raise EngineNotInstalled
    check_name(name)
    if name in REMOTE_PROVIDERS:
        raise UnknownProvider(f"{name} is not an engine of this machine; there are {', '.join(LOCAL_PROVIDERS)}.")
    provider = LOCAL_PROVIDERS[name]
    _check_installed(provider)
    return provider


def load_class(provider: Provider) -> type:
    """Import a provider's class. Raises EngineNotInstalled."""
    _check_installed(provider)
    module, _, name = provider.target.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


def _check_installed(provider: Provider) -> None:
    if not is_installed(provider):
        raise EngineNotInstalled(
            f"{provider.name} is not installed; `pip install 'v2t[{provider.extra}]'` installs it."
        )
