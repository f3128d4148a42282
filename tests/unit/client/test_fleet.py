from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import pytest

from v2t.client import Client
from v2t.client.fleet import _now_and_then, engines_of, kinds_of
from v2t.client.queues import Poller, QueueFacts
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


class Cluster:
    """Workers that poll, and what waits for them."""

    def __init__(self, *identities: str, backlog: int = 0) -> None:
        self.temporal = None
        self._identities = identities
        self._backlog = backlog

    async def facts(self, _temporal: object, names: Sequence[str]) -> list[QueueFacts]:
        pollers = tuple(Poller(identity, time.time()) for identity in self._identities)
        return [QueueFacts(name, pollers if name == "v2t" else (), self._backlog, 0.0) for name in names]


@pytest.fixture
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Client:
    cluster: Cluster = request.param
    for module in ("fleet", "queues"):
        monkeypatch.setattr(f"v2t.client.{module}.queue_facts", cluster.facts)
    return cast("Client", cluster)


@pytest.mark.parametrize("cluster", [Cluster("m4-1:1:gpu", "m4-2:1:remote", "7@laptop")], indirect=True)
async def test_a_kind_is_there_if_somebody_does_its_work(cluster: Client) -> None:
    assert await kinds_of(cluster)() == {"gpu", "cpu", "remote"}


@pytest.mark.parametrize("cluster", [Cluster("m4-1:1:gpu", "m4-2:1:cpu", "m4-2:2:cpu", "m4-3:1:remote")], indirect=True)
async def test_a_file_is_cut_for_all_that_do_a_kind_of_work(cluster: Client) -> None:
    assert await engines_of(cluster, "cpu", 4)() == 12
    assert await engines_of(cluster, "gpu", 2)() == 2
    assert await engines_of(cluster, "memory", 5)() == 5, "nobody is known yet: the worker that asks is there"


@pytest.mark.parametrize("cluster", [Cluster("m4-1:1:cpu", "m4-2:1:cpu", backlog=1)], indirect=True)
async def test_a_file_is_cut_for_one_while_others_wait(cluster: Client) -> None:
    assert await engines_of(cluster, "cpu", 4)() == 4


async def test_who_asks_while_somebody_looks_waits_for_that_answer() -> None:
    ask = _now_and_then(Looks(), 60.0, 0)
    assert set(await asyncio.gather(ask(), ask(), ask())) == {1}


async def test_what_was_known_holds_while_nobody_answers() -> None:
    ask = _now_and_then(Looks(1, 3), 0.0, 0)
    assert [await ask() for _ in range(4)] == [0, 2, 2, 4]
