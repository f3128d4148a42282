"""`v2t providers`: who can transcribe, and how they are."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

import click

from v2t.cli.output import Result, as_table, returns_result
from v2t.cli.provider_plan import command as explain
from v2t.cli.provider_plan import cost_of
from v2t.domain.errors import ProviderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v2t.config import Settings
    from v2t.domain.capabilities import Capabilities
    from v2t.health.engine_parts import EngineState
    from v2t.health.provider_parts import ProviderState
    from v2t.health.provider_status import ProviderStatus
    from v2t.providers.ssh_whisper import SshWhisper


_ENGINE_SECONDS = 5.0
"""How long an engine may take to say whether it works."""


@click.group("providers")
def group() -> None:
    """List providers, look how they are, and explain whom the rules choose."""


group.add_command(explain)


@group.command("list")
@returns_result
def list_providers() -> Result:
    """Show every provider: where it runs, what it costs, and what it lacks.

    Those without a lack are asked by the rules and the chain of the settings.
    """
    from v2t.config import load_settings
    from v2t.health.engine_parts import troubles
    from v2t.planning import describe_providers

    settings = load_settings()
    found = troubles(settings, _ENGINE_SECONDS)
    rows = [replace(row, missing=found.get(row.name) or row.missing) for row in describe_providers(settings)]
    headings = ("PROVIDER", "RUNS ON", "MODEL", "COST", "LACKS")
    cells = [
        (row.name, row.where, row.model or "as asked", cost_of(row.dollars_per_minute, 0.0), row.missing or "-")
        for row in rows
    ]
    return Result(data={"providers": [asdict(row) for row in rows]}, lines=as_table(headings, cells))


@group.command()
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=8.0, show_default=True, help="Seconds each may take."
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@returns_result
def status(names: tuple[str, ...], timeout: float) -> Result:
    """Ask the engines of this machine and the providers on others, all at once, whether they would take work now.

    Without names, those that are set up. LAST HOUR is the share of calls that went well. BREAKER is closed where
    calls go out, open while the provider is left alone after failures, and half-open while one call finds out.
    QUEUE is what waits for it, and the workers that ask it. A dash: nobody can say.

    \b
    Examples:
      v2t providers status
      v2t providers status openai --timeout 3
    """
    from v2t.config import load_settings

    settings = load_settings()
    here, found = asyncio.run(_ask(settings, names, timeout))
    states: list[EngineState | ProviderState] = [*here, *(each.state for each in found)]
    headings = ("PROVIDER", "STATE", "ANSWER", "LAST HOUR", "BREAKER", "QUEUE", "COST", "DETAIL")
    table = as_table(headings, [*map(_engine_row, here), *(row for each in found for row in _status_rows(each))])
    errors = tuple(ProviderError(f"{state.name}: {state.said}") for state in states if state.error)
    nobody = ["No provider is set up; `v2t providers list` shows what each lacks."]
    data = {"engines": [_answer_data(state) for state in here], "providers": [_status_data(each) for each in found]}
    return Result(data=data, lines=table if states else nobody, errors=errors)


@group.command("test")
@click.argument("name")
@click.option("--host", default="", help="Of ssh_whisper: this host alone, as HOST or user@HOST:PORT.")
@returns_result
def test_provider(name: str, host: str) -> Result:
    """See step by step whether provider NAME can be used; it is given a second of silence.

    A service that takes money may take some for it.

    \b
    Examples:
      v2t providers test whisper_server
      v2t providers test ssh_whisper --host m4-1
    """
    from v2t.config import load_settings

    settings = load_settings()
    (name,) = _named(settings, (name,))
    if host and name != "ssh_whisper":
        raise UsageError(f"{name} has no hosts to choose from; leave out --host")
    steps = asyncio.run(_test(settings, name, host))
    failures = [step for step in steps if not step["ok"]]
    errors = tuple(ProviderError(f"{step['where']}: {step['name']}: {step['detail']}") for step in failures)
    cells = [
        (step["where"], step["name"], "ok" if step["ok"] else "failed", f"{step['seconds']:.2f} s", step["detail"])
        for step in steps
    ]
    lines = as_table(("WHERE", "STEP", "STATE", "TOOK", "DETAIL"), cells)
    return Result(data={"steps": steps}, lines=lines, errors=errors)


async def _ask(
    settings: Settings, names: Sequence[str], seconds: float
) -> tuple[list[EngineState], list[ProviderStatus]]:
    """The engines of this machine and the providers on others, of those that were named."""
    from v2t.health.engine_parts import ask_engines
    from v2t.health.provider_status import gather_status
    from v2t.providers.table import LOCAL_PROVIDERS
    from v2t.standalone import find_running

    elsewhere = [name for name in names if name not in LOCAL_PROVIDERS]
    named = [] if names and not elsewhere else _named(settings, elsewhere)
    running = None if settings.is_cluster else find_running(settings.standalone.folder)
    asking = gather_status(settings, named, seconds, running.address if running else "")
    if names and len(elsewhere) == len(names):
        return [], await asking
    engines, providers = await asyncio.gather(asyncio.to_thread(ask_engines, settings, seconds), asking)
    return [state for state in engines if not names or state.name in names], providers


async def _test(settings: Settings, name: str, host: str) -> list[dict[str, Any]]:
    """The steps of each place where the provider works."""
    from v2t import wiring
    from v2t.health.provider_steps import try_provider

    if name != "ssh_whisper":
        return [{"where": name, **asdict(step)} async for step in try_provider(settings, name)]
    hosts = (host,) if host else settings.ssh_whisper.hosts
    if not hosts:
        raise UsageError("ssh_whisper.hosts is not set; set it, or name one with --host")
    model = settings.models.default
    provider = cast("SshWhisper", wiring.open_provider(settings, name))
    try:
        return [{"where": each, **asdict(step)} for each in hosts async for step in provider.examine(each, model)]
    finally:
        await provider.close()


def _named(settings: Settings, names: Sequence[str]) -> Sequence[str]:
    """Those on other machines that were named, or that are set up. Raises UsageError."""
    from v2t.planning import remote_providers
    from v2t.providers.table import REMOTE_PROVIDERS

    for name in names:
        if name not in REMOTE_PROVIDERS:
            raise UsageError(f"{name} is no provider on another machine; there are {', '.join(REMOTE_PROVIDERS)}")
    return names or remote_providers(settings)


def _engine_row(state: EngineState) -> tuple[str, ...]:
    answer = f"{state.seconds * 1000:.0f} ms"
    return (state.name, "failed" if state.error else "ok", answer, "-", "-", "-", "-", state.said)


def _answer_data(state: EngineState | ProviderState) -> dict[str, Any]:
    return {
        "name": state.name,
        "ok": state.error is None,
        "detail": state.said,
        "code": state.error.code if state.error else "",
        "answer_seconds": round(state.seconds, 3),
    }


def _status_rows(found: ProviderStatus) -> list[tuple[str, ...]]:
    """A row for the provider, and one for each host that it chooses between."""
    known = (str(found.calls or "-"), str(found.queue or "-"), cost_of(found.dollars_per_minute, 0.0))
    rows = [(found.state, *known), *((host, "", "", "") for host in found.state.hosts)]
    return [
        (
            state.name,
            "failed" if state.error else "ok",
            f"{state.seconds * 1000:.0f} ms",
            calls,
            state.breaker_state,
            queue,
            cost,
            state.said,
        )
        for state, calls, queue, cost in rows
    ]


def _status_data(found: ProviderStatus) -> dict[str, Any]:
    calls, queue = found.calls, found.queue
    return _state_data(found.state) | {
        "capabilities": _capabilities_data(found.state.capabilities),
        "hosts": [_state_data(host) for host in found.state.hosts],
        "last_hour": {"calls": calls.calls, "succeeded": calls.succeeded} if calls else None,
        "queue": {"waiting": queue.waiting, "workers": queue.workers} if queue else None,
        "dollars_per_minute": found.dollars_per_minute,
    }


def _capabilities_data(capabilities: Capabilities | None) -> dict[str, Any] | None:
    if not capabilities:
        return None
    languages = capabilities.languages
    return asdict(capabilities) | {"languages": sorted(languages) if languages is not None else None}


def _state_data(state: ProviderState) -> dict[str, Any]:
    return _answer_data(state) | {
        "breaker": state.breaker_state,
        "recent_calls": len(state.breaker.outcomes),
        "recent_failures": state.breaker.outcomes.count(False),
    }
