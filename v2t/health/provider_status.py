"""All that is known of the providers on other machines, gathered at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from v2t.domain.errors import V2TError
from v2t.domain.records import CallsLine
from v2t.health.examination import in_thread
from v2t.health.provider_parts import ProviderState, ask_provider

if TYPE_CHECKING:
    from v2t.config import Settings

_Answer = TypeVar("_Answer")

_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """What goes on in the queues of a provider."""

    waiting: int
    workers: int

    def __str__(self) -> str:
        return f"{self.waiting} waiting, {self.workers} worker{'' if self.workers == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """A provider, and what the system knows of it."""

    state: ProviderState
    calls: CallsLine | None  # of the last hour; None: nobody can say
    queue: QueueLoad | None  # None: nobody can say
    dollars_per_minute: float


async def gather_status(
    settings: Settings, names: Sequence[str], seconds: float, embedded_address: str = ""
) -> list[ProviderStatus]:
    """Look at providers, the records and the queues side by side; what does not answer in time is left out.

    Args:
        settings: which system.
        names: of providers on other machines.
        seconds: that each may take.
        embedded_address: of the Temporal server of this machine, where one runs and the settings name no cluster.
    """
    from v2t import wiring
    from v2t.planning import describe_providers

    breakers = wiring.open_breakers(settings)
    asking = asyncio.gather(*(ask_provider(settings, name, seconds, breakers) for name in names))
    counting = _in_time(in_thread(partial(_count_calls, settings)), seconds)
    looking = _in_time(_look_at_queues(settings, names, embedded_address), seconds)
    states, calls, queues = await asyncio.gather(asking, counting, looking)
    prices = {one.name: one.dollars_per_minute for one in describe_providers(settings)}
    return [
        ProviderStatus(
            state,
            None if calls is None else calls.get(state.name, CallsLine(state.name, 0, 0)),
            (queues or {}).get(state.name),
            prices.get(state.name, 0.0),
        )
        for state in states
    ]


async def _in_time(looking: Awaitable[_Answer], seconds: float) -> _Answer | None:
    try:
        async with asyncio.timeout(seconds):
            return await looking
    except (V2TError, TimeoutError, ImportError):  # what cannot be looked at hides nothing else
        return None


def _count_calls(settings: Settings) -> dict[str, CallsLine]:
    """Provider → how the last hour's calls of it went."""
    from v2t import wiring

    if not settings.is_cluster and not (settings.standalone.folder / "records.db").exists():
        return {}  # nothing was ever done here, and looking makes no database
    records = wiring.open_records(settings)
    try:
        return {line.provider: line for line in records.calls(time.time() - _HOUR_SECONDS)}
    finally:
        records.close()


async def _look_at_queues(settings: Settings, names: Sequence[str], embedded_address: str) -> Mapping[str, QueueLoad]:
    """Provider → its queues; empty where no server runs."""
    from v2t import wiring
    from v2t.client import Client
    from v2t.client.queues import queue_facts
    from v2t.workflows.policies import provider_queues

    if settings.is_cluster:
        client = await wiring.connect_client(settings)
    elif embedded_address:
        client = await Client.connect(embedded_address, settings.standalone.namespace)
    else:
        return {}
    now, found = time.time(), {}
    for name in names:
        queues = await queue_facts(client.temporal, provider_queues(name))
        pollers = {poller.identity for queue in queues for poller in queue.fresh_pollers(now)}
        found[name] = QueueLoad(sum(queue.backlog for queue in queues), len(pollers))
    return found
