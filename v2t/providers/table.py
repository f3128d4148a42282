"""Provider names, and where each one's class lives: strings, so that nothing loads until it is used."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from v2t.domain.errors import ConfigurationError, EngineNotInstalled, UnknownProvider
from v2t.domain.jobs import AUTO, LOCAL


@dataclass(frozen=True, slots=True)
class LocalProvider:
    """An engine that runs on this machine."""

    name: str
    target: str  # "module:Class"
    library: str  # the import name of what it needs
    model_format: str  # which kind of model file it loads
    extra: str  # what to install
    program: tuple[str, ...] = ()  # argv of what it runs instead of a library


@dataclass(frozen=True, slots=True)
class RemoteProvider:
    """A service on another machine, which has a section of settings of its name."""

    name: str
    target: str  # "module:Class"
    library: str  # the import name of what it needs
    extra: str  # what to install
    translates: bool = True  # into English


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
        RemoteProvider("elevenlabs", "v2t.providers.elevenlabs:ElevenLabs", "httpx", "worker", translates=False),
        RemoteProvider("whisper_server", "v2t.providers.whisper_server:WhisperServer", "httpx", "worker"),
        RemoteProvider("custom_http", "v2t.providers.custom_http:CustomHttp", "httpx", "worker"),
        RemoteProvider("ssh_whisper", "v2t.providers.ssh_whisper:SshWhisper", "fabric", "ssh"),
    )
}


def local_providers(program: Sequence[str] = ()) -> dict[str, LocalProvider]:
    """The engines of a machine whose settings name a whisper-cli, or none."""
    if not program:
        return LOCAL_PROVIDERS
    target = "v2t.providers.whisper_cli:WhisperCli"
    outside = replace(LOCAL_PROVIDERS["whisper_cpp"], target=target, library="", program=tuple(program))
    return {**LOCAL_PROVIDERS, outside.name: outside}


def is_installed(provider: Provider) -> bool:
    """Whether its library can be imported, found out without importing it, or its program run."""
    if isinstance(provider, LocalProvider) and provider.program:
        return shutil.which(provider.program[0]) is not None
    return importlib.util.find_spec(provider.library) is not None


def check_name(name: str) -> None:
    """Whether there is such a provider, installed here or not. Raises UnknownProvider."""
    names = (AUTO, LOCAL, *LOCAL_PROVIDERS, *REMOTE_PROVIDERS)
    if name not in names:
        raise UnknownProvider(f"There is no provider {name!r}; there are {', '.join(names)}.")


def fastest_first() -> tuple[str, ...]:
    """The engines, as fast as they are on this machine's processor.

    CTranslate2's int8 kernels are about twice as fast as whisper.cpp on x86 (`make bench` prints the ratio);
    elsewhere whisper.cpp, which has kernels for every machine, comes first.
    """
    x86 = platform.machine().lower() in {"x86_64", "amd64"}
    return ("faster_whisper", "whisper_cpp") if x86 else ("whisper_cpp", "faster_whisper")


def resolve_provider(
    name: str,
    engines: Mapping[str, LocalProvider] = LOCAL_PROVIDERS,
    trouble: Callable[[str], str] = lambda _name: "",
) -> LocalProvider:
    """The engine a name means on this machine; `local` is the fastest one that works, and `auto` has it as well.

    Args:
        name: a provider.
        engines: see local_providers.
        trouble: why an engine that is installed does not work; empty: nothing is known against it. Where something
            is known against each of them, `local` is the fastest installed.

    Raises:
        UnknownProvider: no such name, or that of a provider on another machine.
        EngineNotInstalled: its library is missing.
        ConfigurationError: its program is.
    """
    candidates = candidates_for(name, engines)
    return next((each for each in candidates if not trouble(each.name)), candidates[0])


def candidates_for(name: str, engines: Mapping[str, LocalProvider] = LOCAL_PROVIDERS) -> list[LocalProvider]:
    """The installed engines that a name may mean, the fastest first; at least one. Raises as resolve_provider."""
    if name not in {LOCAL, AUTO}:
        check_name(name)
        if name in REMOTE_PROVIDERS:
            raise UnknownProvider(f"{name} is not an engine of this machine; there are {', '.join(LOCAL_PROVIDERS)}.")
        check_installed(engines[name])
        return [engines[name]]
    found = [engines[each] for each in fastest_first() if is_installed(engines[each])]
    if not found:
        for each in engines.values():
            if each.program:
                check_installed(each)  # a program that was named and is not there tells more
        raise EngineNotInstalled
    return found


def load_class(provider: Provider) -> type:
    """Import a provider's class. Raises EngineNotInstalled, ConfigurationError."""
    check_installed(provider)
    module, _, name = provider.target.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


def check_installed(provider: Provider) -> None:
    """Whether it is installed here. Raises EngineNotInstalled, or ConfigurationError where it is a program."""
    if is_installed(provider):
        return
    if isinstance(provider, LocalProvider) and provider.program:
        path = provider.program[0]
        what = "is no program that may be run" if Path(path).exists() else "is not there"
        raise ConfigurationError(
            f"{path}, which engine.whisper_cli names, {what}; correct the setting, or leave it empty"
        )
    raise EngineNotInstalled(f"{provider.name} is not installed; `pip install 'v2t[{provider.extra}]'` installs it.")
