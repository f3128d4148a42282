"""When files that are still being written are whole: once they stay as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable


async def settle(
    look: Callable[[], Iterable[tuple[str, object]]], *, settle_seconds: float, once: bool
) -> AsyncIterator[list[str]]:
    """Names as they become settled: seen with the same facts for `settle_seconds`; each once, until its facts change.

    Args:
        look: gives what is there now, as (name, facts).
        settle_seconds: how long facts must stay the same.
        once: end when all that was there at the first look is settled.
    """
    loop = asyncio.get_running_loop()
    waiting: dict[str, tuple[object, float]] = {}
    given: dict[str, object] = {}
    first: set[str] | None = None
    while True:
        now = loop.time()
        there = dict(await asyncio.to_thread(lambda: list(look())))
        first = set(there) if first is None else first & set(there)
        waiting = {
            name: (facts, waiting[name][1] if waiting.get(name, (None,))[0] == facts else now)
            for name, facts in there.items()
            if given.get(name) != facts
        }
        ready = [name for name, (_, since) in waiting.items() if now - since >= settle_seconds]
        given = {name: facts for name, facts in given.items() if name in there} | {name: there[name] for name in ready}
        yield ready
        if once and not first - set(given):
            return
        await asyncio.sleep(min(1.0, max(0.05, settle_seconds / 4)))
