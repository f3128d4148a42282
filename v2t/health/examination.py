"""Look at every part at the same time, and let none of them hold the others up."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from v2t.config.secret import Secret
from v2t.domain.errors import ConfigurationError, ConnectionFailed, V2TError
from v2t.health import machine_parts, provider_parts, temporal_parts
from v2t.health.database_parts import look_at_database, look_at_redis, look_at_replica
from v2t.health.report import HealthReport, Part, broken, weak
from v2t.health.store_parts import look_at_store

if TYPE_CHECKING:
    from v2t.config import Settings
    from v2t.health.machine_parts import Embedded

_log = logging.getLogger(__name__)

Found = Sequence[Part]
Answer = TypeVar("Answer")

_MARGIN_SECONDS = 0.5
"""What a check's own timeouts are below its limit, so that it can say what did not answer."""

_CLUSTER_LOOKS: dict[str, tuple[Callable[[Settings, float], Found], bool]] = {
    "object store": (look_at_store, True),
    "database": (look_at_database, True),
    "read replica": (look_at_replica, False),
    "redis": (look_at_redis, False),
}
"""Name → how to look at it, and whether nothing can be transcribed without it."""


@dataclass(frozen=True, slots=True)
class Check:
    """A look at a part, or at some that are seen together."""

    name: str
    look: Callable[[], Awaitable[Found]]
    required: bool = False


async def examine(settings: Settings, *, limit_seconds: float, embedded: Embedded | None = None) -> HealthReport:
    """Examine every part; never raises, never takes longer than the limit.

    Args:
        settings: which system.
        limit_seconds: for each part, all of which are looked at side by side.
        embedded: what runs on this machine, where the settings name no cluster.
    """
    started = time.monotonic()
    checks = _checks(settings, max(0.1, limit_seconds - _MARGIN_SECONDS), embedded)
    found = await asyncio.gather(*(_guarded(check, limit_seconds) for check in checks))
    secrets = _secrets(settings)
    parts = tuple(_without(secrets, part) for some in found for part in some)
    return HealthReport(parts, time.monotonic() - started)


def _provider_checks(settings: Settings, seconds: float) -> list[Check]:
    """One for each provider on another machine that is set up."""
    from v2t.planning import remote_providers

    return [
        Check(f"provider {name}", partial(provider_parts.look_at_provider, settings, name, seconds), required=False)
        for name in remote_providers(settings)
    ]


def _checks(settings: Settings, seconds: float, embedded: Embedded | None) -> list[Check]:
    if embedded is not None and not settings.is_cluster:
        return [
            Check("server", partial(temporal_parts.look_at_embedded, settings, embedded), required=True),
            *(
                Check(name, partial(in_thread, partial(look, settings)), required=True)
                for name, look in machine_parts.LOOKS.items()
            ),
            *_provider_checks(settings, seconds),
        ]
    return [
        Check("temporal", partial(temporal_parts.look_at_cluster, settings), required=True),
        *(
            Check(name, partial(in_thread, partial(look, settings, seconds)), required=required)
            for name, (look, required) in _CLUSTER_LOOKS.items()
        ),
        *_provider_checks(settings, seconds),
    ]


async def _guarded(check: Check, limit_seconds: float) -> Found:
    """What the check finds, or a failed part that says why it could not look."""
    try:
        async with asyncio.timeout(limit_seconds):
            return await check.look()
    except TimeoutError:
        step = "see whether it runs and whether a firewall stands between"
        part = broken(
            check.name, ConnectionFailed, f"no answer within {limit_seconds:g} s", step, required=check.required
        )
    except ModuleNotFoundError as error:
        step = "`pip install 'v2t[worker]'` installs what is needed to look at it"
        part = weak(check.name, f"not looked at: {error.name} is not installed here", step, required=check.required)
    except ConfigurationError as error:
        summary, _, step = error.message.partition("; ")
        part = broken(
            check.name, error, summary, step or "`v2t config show` shows the settings", required=check.required
        )
    except V2TError as error:
        summary, _, step = error.message.partition("; ")
        part = broken(check.name, error, summary, step or "see its log", required=check.required)
    except Exception as error:  # noqa: BLE001 - a fault of one look must not hide what the others found
        _log.exception("a check failed", extra={"action": "health", "part": check.name})
        summary = f"could not be looked at: {type(error).__name__}"
        step = "run `v2t --verbose health` and report what it says"
        part = broken(check.name, V2TError, summary, step, required=check.required)
    return [part]


async def in_thread(function: Callable[[], Answer]) -> Answer:
    """Call it in a thread that nobody waits for at the end: one that hangs must not hold up the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def settle(action: Callable[[], None]) -> None:
        if not future.done():
            action()

    def tell(action: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, action)

    def work() -> None:
        try:
            answer = function()
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
            tell(partial(future.set_exception, error))
        else:
            tell(partial(future.set_result, answer))

    threading.Thread(target=work, name="v2t-health", daemon=True).start()
    return await future


def _secrets(settings: Settings) -> tuple[str, ...]:
    """Every secret of the settings, and the passwords inside those that are URLs."""
    found: set[str] = set()
    for section in type(settings).model_fields:
        for value in vars(getattr(settings, section)).values():
            for each in value.values() if isinstance(value, dict) else (value,):
                if isinstance(each, Secret):
                    found |= _spellings(each)
    return tuple(sorted(found, key=len, reverse=True))


def _spellings(secret: Secret) -> set[str]:
    try:
        text = secret.reveal()
        password = urlsplit(text).password or ""
    except (ConfigurationError, ValueError):  # what cannot be read cannot be shown
        return set()
    return {spelling for spelling in (text, password, unquote(password)) if spelling}


def _without(secrets: Sequence[str], part: Part) -> Part:
    """The part without a secret that a library has put into its message."""
    summary = part.summary
    for secret in secrets:
        summary = summary.replace(secret, "(redacted)")
    return dataclasses.replace(part, summary=summary)
