"""Calls of providers on other machines go through queues of their own, with limits that hold for the whole cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from support.cluster import NAMESPACE, FakeCluster, ScriptedTranscriber, running_worker
from support.speech_apis import APIS, SPOKEN
from support.speech_servers import Seen, SpeechServer, Wire, says, serve_speech

from v2t.client import Client
from v2t.client.queues import queue_facts
from v2t.domain.breaker import BreakerPolicy
from v2t.domain.jobs import AUTO, Choice, TranscribeRequest
from v2t.domain.ports import Transcriber
from v2t.providers.guard import Guard
from v2t.providers.guarded import Guarded
from v2t.storage.breakers import SharedBreakers
from v2t.testing import FakeAudioTools
from v2t.worker.runtime import Asked
from v2t.workflows.policies import provider_queue

pytestmark = pytest.mark.servers

CHUNKS = 20
LONG = FakeAudioTools(CHUNKS * 6.0, 6.0)  # in a single window
SHORT = FakeAudioTools(10.0)
SLOTS = 8
WORKERS = 2
API = next(api for api in APIS if api.name == "custom_http")


@dataclass
class Service:
    """A service that takes so many requests a second, and what came to it."""

    most_a_second: int = 1000
    rest_seconds: int = 1
    came: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    async def take(self, wire: Wire, seen: Seen) -> None:
        now = time.monotonic()
        self.came.append(now)
        if sum(now - each < 1.0 for each in self.came) > self.most_a_second:
            self.refused.append(now)
            await says(429, {"error": "slow down"}, Retry_After=str(self.rest_seconds))(wire, seen)
        else:
            await says(200, API.answer(SPOKEN, "en"))(wire, seen)


@asynccontextmanager
async def asking(
    server: str, service: Service, asked: Asked, tools: FakeAudioTools = LONG, first: str = "custom_http"
) -> AsyncIterator[FakeCluster]:
    """Two workers, each with a connection of its own to Temporal and to the service, that know of its failures."""
    api = SpeechServer(API.answer, misbehaviours=[service.take] * 1000)
    breakers = SharedBreakers()

    async def choose(_request: TranscribeRequest, _seconds: float, _audio: Path | None) -> tuple[Choice, ...]:
        return Choice(first, own_queue=True), Choice("spare")

    async with serve_speech(api), AsyncExitStack() as stack:
        cluster: FakeCluster | None = None
        for _ in range(WORKERS):
            provider = API.open(api.address)
            stack.push_async_callback(provider.close)
            others: dict[str, Transcriber] = {
                "custom_http": Guarded(provider, Guard("custom_http", breakers, BreakerPolicy()))
            }
            client = await Client.connect(server, NAMESPACE)
            cluster = FakeCluster(
                client,
                ScriptedTranscriber(),
                store=cluster.store if cluster else FakeCluster(client, ScriptedTranscriber()).store,
                others=others | {"spare": ScriptedTranscriber(name="spare")},
                choose=choose,
            )
            await stack.enter_async_context(running_worker(cluster, tools, asked=(asked,)))
        assert cluster
        yield cluster


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECH_SECRET", "sk-of-nobody")


async def test_no_more_calls_go_out_than_the_limit_however_many_workers_there_are(server: str) -> None:
    service, a_second = Service(), 3.0
    async with asking(server, service, Asked("custom_http", SLOTS, a_second)) as cluster:
        result = await cluster.result(await cluster.submit("en", provider=AUTO))
    assert (result.provider, len(service.came), result.warnings) == ("custom_http", CHUNKS, ())
    # Temporal hands out those of a second at once, and some workers are slower than others
    took = service.came[-1] - service.came[0]
    assert took >= (CHUNKS - 2 * a_second) / a_second


async def test_a_service_that_asks_to_come_back_later_is_left_in_peace_by_all(server: str) -> None:
    service = Service(most_a_second=4, rest_seconds=2)
    async with asking(server, service, Asked("custom_http", SLOTS)) as cluster, asyncio.timeout(90):
        request = await cluster.submit("en", provider=AUTO)
        result = await cluster.client.result(request.job_id)
    assert (result.provider, result.warnings) == ("custom_http", ()), "nobody gave up"
    assert service.refused, "it was asked for more than it takes"
    first = service.refused[0]
    under_way = 0.5
    meanwhile = [each - first for each in service.came if under_way < each - first < service.rest_seconds - 0.1]
    assert not meanwhile, f"calls while it rested: {meanwhile}"
    assert len(service.refused) <= WORKERS * SLOTS + CHUNKS // 2, "a storm"


async def test_a_provider_that_nobody_asks_is_passed_over(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2t.workflows.served.KIND_WAIT", timedelta(seconds=1))
    async with asking(server, service := Service(), Asked("custom_http", SLOTS), SHORT, "distant") as cluster:
        result = await cluster.result(await cluster.submit("en", provider=AUTO))
    assert result.provider == "spare"
    assert [warning.partition(" (after ")[0] for warning in result.warnings] == ["distant: no worker was free in time"]
    assert not service.came


async def test_who_waits_for_a_limit_gives_up_no_provider(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2t.workflows.served.KIND_WAIT", timedelta(seconds=1))
    service, tools = Service(), FakeAudioTools(6 * 6.0, 6.0)
    async with asking(server, service, Asked("custom_http", SLOTS, 1.0), tools) as cluster:
        result = await cluster.result(await cluster.submit("en", provider=AUTO))
        (queue,) = await queue_facts(cluster.client.temporal, (provider_queue("custom_http"),))
    assert (result.provider, result.warnings, len(service.came)) == ("custom_http", (), 6)
    assert service.came[-1] - service.came[0] > 2.0, "some waited for longer than they would for workers"
    assert queue.pollers
