from __future__ import annotations

import asyncio

from v2t.client.fleet import _now_and_then
from v2t.domain.errors import ClusterUnreachable


class Looks:
    """Answers 1, 2, …, and fails where it should; each takes a moment."""

    def __init__(self, *failing: int) -> None:
        self.number = 0
        self._failing = failing

    async def __call__(self) -> int:
        self.number += 1
        number = self.number
        await asyncio.sleep(0.01)
        if number in self._failing:
            raise ClusterUnreachable("gone")
        return number


async def test_who_asks_while_somebody_looks_waits_for_that_answer() -> None:
    ask = _now_and_then(Looks(), 60.0, 0)
    assert set(await asyncio.gather(ask(), ask(), ask())) == {1}


async def test_what_was_known_holds_while_nobody_answers() -> None:
    ask = _now_and_then(Looks(1, 3), 0.0, 0)
    assert [await ask() for _ in range(4)] == [0, 2, 2, 4]
