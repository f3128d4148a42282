"""What a worker learns of the others, now and then: which kinds there are, and how many engines may share a file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from v2t.client.jobs import Client
from v2t.client.queues import present_workers, queue_facts, that_do
from v2t.domain.errors import V2TError
from v2t.domain.ports import CountEngines
from v2t.workflows.policies import KIND_QUEUES

Known = TypeVar("Known")

_KINDS_SECONDS = 30.0
"""How long the kinds of workers are taken for known."""

_ENGINES_SECONDS = 5.0
"""How long the engines are: what waits for them changes quickly."""


def kinds_of(client: Client) -> Callable[[], Awaitable[frozenset[str]]]:
    """The kinds whose work is done in a cluster."""

    async def look() -> frozenset[str]:
        workers = await present_workers(client.temporal)
        return frozenset(kind for kind in KIND_QUEUES if that_do(kind, workers))

    return _now_and_then(look, _KINDS_SECONDS, frozenset())


def engines_of(client: Client, kind: str, slots: int) -> CountEngines:
    """How many engines share the chunks of a file that is cut now.

    Those of all workers that do a kind's work, while nothing waits for them. Else those of one: more and shorter chunks
    would keep no more engines busy, and cost more, as Whisper hears long chunks faster.

    Args:
        client: the cluster.
        kind: of the worker that asks.
        slots: of the worker that asks, and for all one knows of the others.
    """

    async def look() -> int:
        workers, (queue,) = await asyncio.gather(
            present_workers(client.temporal), queue_facts(client.temporal, (KIND_QUEUES[kind],))
        )
        return slots if queue.backlog else slots * max(1, len(that_do(kind, workers)))

    return _now_and_then(look, _ENGINES_SECONDS, slots)


def _now_and_then(look: Callable[[], Awaitable[Known]], seconds: float, known: Known) -> Callable[[], Awaitable[Known]]:
    """`look`, at most once in so many seconds; `known` holds until it succeeds for the first time."""
    looked_at = -seconds
    looking = asyncio.Lock()  # who asks meanwhile waits for the answer

    async def ask() -> Known:
        nonlocal known, looked_at
        async with looking:
            if time.monotonic() - looked_at >= seconds:
                looked_at = time.monotonic()
                with suppress(V2TError):  # what was known before is as good a guess as any
                    known = await look()
            return known

    return ask
