from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import until

from v2t.domain.breaker import Breaker, BreakerPolicy
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import ProviderBusy, ProviderRejected, ProviderResting, ProviderUnreachable, V2TError
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult, OnProgress
from v2t.providers.guard import Guard, OnCall, observe_no_call
from v2t.providers.guarded import Guarded
from v2t.storage.breakers import SharedBreakers

CHUNK = Chunk(0, "0.wav", (Piece(0.0, 5.0),))
HEARD = EngineResult((), "en", 1.0, 0.0)


class Provider:
    """A RemoteTranscriber that does what the test says."""

    name = "distant"
    capabilities = Capabilities()

    def __init__(self) -> None:
        self.calls = 0
        self.closed = False
        self.error: V2TError | None = None
        self.hang = False

    async def transcribe(
        self, _audio: Path, _chunk: Chunk, _options: TranscribeOptions, _on: OnProgress
    ) -> EngineResult:
        self.calls += 1
        if self.hang:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return HEARD

    async def check(self) -> str:
        return "it is there"

    async def close(self) -> None:
        self.closed = True


class Bench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.provider = Provider()
        self.breakers = SharedBreakers()
        self.guarded = Guarded(self.provider, self.guard())

    def guard(self, observe: OnCall = observe_no_call) -> Guard:
        return Guard(self.provider.name, self.breakers, BreakerPolicy(), lambda: self.now, observe)

    async def call(self) -> EngineResult:
        return await self.guarded.transcribe(Path("0.wav"), CHUNK, TranscribeOptions(), lambda _: None)

    async def fail(self, times: int, error: V2TError) -> None:
        self.provider.error = error
        for _ in range(times):
            with pytest.raises(type(error)):
                await self.call()


DOWN: Callable[[], V2TError] = lambda: ProviderUnreachable("nobody answers")  # noqa: E731 - a new one each time


async def test_it_is_the_provider_to_everybody_who_asks() -> None:
    bench = Bench()
    assert (bench.guarded.name, bench.guarded.capabilities) == ("distant", Provider.capabilities)
    assert await bench.call() == HEARD
    assert await bench.guarded.check() == "it is there"
    await bench.guarded.close()
    assert bench.provider.closed


async def test_after_failures_it_is_not_called_and_says_for_how_long_and_why() -> None:
    bench = Bench()
    await bench.fail(5, DOWN())
    with pytest.raises(ProviderResting, match=r"distant is left alone for 30 s, .*: nobody answers") as caught:
        await bench.call()
    assert caught.value.retry_after_seconds == 30
    assert bench.provider.calls == 5


async def test_one_call_finds_out_that_it_is_well_again() -> None:
    bench = Bench()
    await bench.fail(5, DOWN())
    bench.now += 30
    bench.provider.error = None
    assert await bench.call() == HEARD
    assert await bench.call() == HEARD
    assert bench.breakers.read("distant").state(bench.now) == "closed"


async def test_refusing_a_recording_is_no_failure_of_the_provider() -> None:
    bench = Bench()
    await bench.fail(10, ProviderRejected("too long"))
    assert bench.breakers.read("distant").state(bench.now) == "closed"


async def test_a_probe_that_is_cancelled_lets_another_one_find_out() -> None:
    bench = Bench()
    await bench.fail(5, DOWN())
    bench.now += 30
    bench.provider.hang = True
    probe = asyncio.create_task(bench.call())
    await until(lambda: bench.provider.calls == 6, "the probe is under way")
    with pytest.raises(ProviderResting):
        await bench.call()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    bench.provider.hang, bench.provider.error = False, None
    assert await bench.call() == HEARD


async def test_while_it_asks_to_be_left_in_peace_nobody_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, slept = Bench(), []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        bench.now += seconds

    monkeypatch.setattr("v2t.providers.guard.asyncio.sleep", sleep)
    await bench.fail(1, ProviderBusy("slow down", 7.0))
    bench.provider.error = None
    assert await bench.call() == HEARD
    assert slept == [7.0]
    assert await bench.call() == HEARD, "and goes out a turn later"
    assert slept == [7.0, 0.2]
    bench.now += 5
    assert await bench.call() == HEARD
    assert slept == [7.0, 0.2]


async def test_each_call_is_told_with_what_became_of_the_breaker() -> None:
    bench, told = Bench(), []

    def tell(provider: str, host: str, outcome: str, before: Breaker, after: Breaker) -> None:
        told.append((provider, host, outcome, before.openings, after.openings))

    bench.guarded = Guarded(bench.provider, bench.guard(tell))
    await bench.call()
    await bench.fail(4, DOWN())
    with pytest.raises(ProviderResting):
        await bench.call()
    failure = ("distant", "", "ProviderUnreachable")
    assert told[0] == ("distant", "", "ok", 0, 0)
    assert told[-2:] == [(*failure, 0, 1), ("distant", "", "resting", 1, 1)]
