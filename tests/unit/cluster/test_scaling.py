from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processes import is_alive, until, until_gone

from v2t.client.queues import QueueFacts
from v2t.cluster.instances import Instance, LocalProcesses, worker_command
from v2t.cluster.scaler import Scaler, _load_of
from v2t.cluster.scaling import Decision, History, Limits, Load, decide
from v2t.domain.errors import ClusterUnreachable

LIMITS = Limits(least=1, most=8, grow_seconds=15, shrink_seconds=300)
NOW = 1000.0
NO_HISTORY = History()
CALM = History(changed_at=0.0, calm_since=100.0)
LOADS = st.builds(
    Load,
    backlog=st.integers(0, 100_000),
    oldest_seconds=st.floats(0, 1e6),
    hosts=st.integers(1, 50),
    used_slots=st.integers(0, 64),
    total_slots=st.integers(0, 64),
)
HISTORIES = st.builds(History, st.floats(-1e6, NOW), st.floats(-1e6, NOW) | st.just(math.inf))


def wanted(load: Load, running: int, history: History = NO_HISTORY, limits: Limits = LIMITS, slots: int = 1) -> int:
    return decide(load, running, limits, history, NOW, slots_a_worker=slots)[0].wanted


def test_a_backlog_above_what_its_slots_can_bear_adds_workers() -> None:
    assert wanted(Load(backlog=2), 1) == 1
    assert wanted(Load(backlog=3), 1) == 2
    assert wanted(Load(backlog=3), 1, slots=2) == 1


def test_a_chunk_that_has_waited_long_adds_a_worker_even_when_it_is_alone() -> None:
    assert wanted(Load(backlog=1, oldest_seconds=31), 2) == 3


def test_workers_double_at_most_at_once() -> None:
    assert wanted(Load(backlog=1000), 1) == 2
    assert wanted(Load(backlog=1000), 3) == 6


def test_the_backlog_is_shared_between_the_hosts() -> None:
    assert wanted(Load(backlog=4, hosts=1), 1) == 2
    assert wanted(Load(backlog=4, hosts=2), 1) == 1


def test_a_change_must_show_before_the_next() -> None:
    assert wanted(Load(backlog=1000), 2, History(changed_at=NOW - 14)) == 2
    assert wanted(Load(backlog=1000), 2, History(changed_at=NOW - 15)) == 4


def test_a_worker_ends_only_after_a_long_calm() -> None:
    assert wanted(Load(), 3, CALM) == 2
    assert wanted(Load(), 3, History(changed_at=0.0, calm_since=NOW - 299)) == 3
    assert wanted(Load(), 3, History(changed_at=NOW - 299, calm_since=0.0)) == 3


def test_no_worker_ends_while_the_rest_could_not_do_the_work() -> None:
    assert wanted(Load(used_slots=2, total_slots=3), 3, CALM) == 3
    assert wanted(Load(used_slots=1, total_slots=3), 3, CALM) == 2


def test_the_limits_are_kept_without_waiting() -> None:
    just_now = History(changed_at=NOW)
    assert wanted(Load(), 0, just_now) == 1
    assert wanted(Load(backlog=1000), 12, just_now) == 8


@given(LOADS, st.integers(0, 100), HISTORIES, st.integers(1, 16), st.integers(0, 5), st.integers(0, 20))
def test_the_limits_are_never_left(
    load: Load, running: int, history: History, slots: int, least: int, more: int
) -> None:
    limits = Limits(least=least, most=least + more)
    decision, _ = decide(load, running, limits, history, NOW, slots_a_worker=slots)
    assert least <= decision.wanted <= least + more
    assert decision.reason


@given(st.integers(0, 500), st.floats(0, 100), st.integers(1, 8), st.integers(1, 4))
def test_a_constant_backlog_moves_the_number_one_way_only(
    backlog: int, oldest: float, running: int, slots: int
) -> None:
    history, numbers = History(), [running]
    for look in range(1000):
        load = Load(backlog, oldest if backlog else 0.0, used_slots=0)
        decision, history = decide(load, numbers[-1], LIMITS, history, look * 5.0, slots_a_worker=slots)
        numbers.append(decision.wanted)
    assert numbers in (sorted(numbers), sorted(numbers, reverse=True))
    assert len(set(numbers[-200:])) == 1


@given(st.floats(0.05, 7.9), st.integers(1, 8))
def test_a_constant_stream_of_work_comes_to_a_constant_number_of_workers(busy_workers: float, running: int) -> None:
    """Work for so many workers of one slot arrives all the time; what they cannot do waits."""
    history, backlog, numbers = History(), 0.0, [running]
    for look in range(4000):
        backlog = max(0.0, backlog + (busy_workers - numbers[-1]) * 0.1)
        used = numbers[-1] if backlog else math.ceil(busy_workers)
        load = Load(int(backlog), 40.0 if backlog >= 1 else 0.0, used_slots=used, total_slots=numbers[-1])
        decision, history = decide(load, numbers[-1], LIMITS, history, look * 5.0)
        numbers.append(decision.wanted)
    later = numbers[-2000:]
    assert later == sorted(later), "a number that was given up came back"
    assert later[-1] - later[0] <= 1  # work a little above what the workers do is noticed late
    assert later[-1] >= math.floor(busy_workers)


class Doubles:
    """Instances without processes."""

    def __init__(self) -> None:
        self.alive: list[str] = []
        self.stopped: list[str] = []
        self.used: dict[str, int] = {}
        self.lasting: set[str] = set()
        self.started = 0

    async def running(self) -> Sequence[Instance]:
        return [Instance(name, 1, self.used.get(name, 0), 1, name in self.lasting) for name in self.alive]

    async def start(self) -> None:
        self.started += 1
        self.alive.append(f"worker-{self.started}")

    async def stop(self, name: str) -> None:
        self.alive.remove(name)
        self.stopped.append(name)

    async def close(self) -> None:
        for name in list(self.alive):
            await self.stop(name)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Queue:
    def __init__(self, load: Load) -> None:
        self.load: Load | None = load

    async def __call__(self) -> Load:
        if self.load is None:
            raise ClusterUnreachable("Temporal does not answer")
        return self.load


async def test_workers_follow_the_backlog_up_and_down() -> None:
    instances, clock, queue, told = Doubles(), Clock(), Queue(Load(backlog=100)), list[str]()
    scaler = Scaler(queue, instances, Limits(1, 4), told.append, clock=clock)
    for _ in range(10):
        await scaler.step()
        clock.now += 15
    assert len(instances.alive) == 4
    assert told[0].startswith("2 workers instead of 1: 100 chunks wait")
    queue.load, instances.used = Load(), {"worker-1": 1}
    for _ in range(200):
        await scaler.step()
        clock.now += 15
    assert instances.alive[0] == "worker-1", "the one that works is the last to go"
    assert instances.stopped[0] == "worker-4"


async def test_what_runs_when_it_begins_is_kept_until_there_is_little_to_do() -> None:
    instances, clock = Doubles(), Clock()
    instances.alive = ["1", "2", "3"]
    instances.lasting = {"3"}
    scaler = Scaler(Queue(Load()), instances, Limits(1, 4), lambda _line: None, clock=clock)
    await scaler.step()
    assert instances.alive == ["1", "2", "3"]
    for _ in range(100):
        clock.now += 15
        await scaler.step()
    assert instances.stopped == ["2", "1"], "one that lasts is not ended, though it is the youngest"


async def test_dead_workers_are_replaced_also_while_temporal_does_not_answer() -> None:
    instances, queue = Doubles(), Queue(Load())
    ended = asyncio.Event()
    scaler = Scaler(queue, instances, Limits(2, 4), lambda _line: None)
    running = asyncio.create_task(scaler.run(ended, 0.01))
    await until(lambda: len(instances.alive) == 2, "two run")
    queue.load = None
    instances.alive.clear()
    await until(lambda: len(instances.alive) == 2, "two run again")
    ended.set()
    await running
    assert instances.alive == []


async def test_a_dry_run_starts_nothing() -> None:
    instances = Doubles()
    scaler = Scaler(Queue(Load(backlog=100)), instances, Limits(1, 4), lambda _line: None, dry_run=True)
    step = await scaler.step()
    assert step.decision == Decision(2, "100 chunks wait, the oldest 0 s")
    assert instances.started == 0


PATIENT = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True)\n"


async def test_a_process_is_told_to_drain_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PATIENT + "time.sleep(600)"]
    instances = LocalProcesses(tmp_path, 5.0, lambda _line: None, command)
    await instances.start()
    (one,) = await instances.running()
    await until(lambda: "up" in (tmp_path / "worker-1.log").read_text(), "it is up")
    await instances.stop(one.name)
    assert await instances.running() == []
    await until_gone(one.pid)
    await instances.close()


async def test_a_process_that_does_not_drain_in_time_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2t.cluster.instances._AFTER_DRAIN_SECONDS", 0.2)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    instances = LocalProcesses(tmp_path, 0.0, lambda _line: None, [sys.executable, "-c", deaf])
    await instances.start()
    (one,) = await instances.running()
    await until(lambda: "up" in (tmp_path / "worker-1.log").read_text(), "it is up")
    await instances.close()
    assert not is_alive(one.pid)


async def test_a_process_that_dies_young_is_named_and_not_started_again_at_once(tmp_path: Path) -> None:
    told: list[str] = []
    command = [sys.executable, "-c", "import sys; sys.exit('v2t: no such setting')"]
    instances = LocalProcesses(tmp_path, 0.0, told.append, command)
    await instances.start()
    (one,) = await instances.running()
    await until_gone(one.pid)
    assert await instances.running() == []
    assert told[-1] == "worker-1 has died with code 1: v2t: no such setting"
    await instances.start()
    assert await instances.running() == []


async def test_a_killed_process_is_seen(tmp_path: Path) -> None:
    instances = LocalProcesses(
        tmp_path, 0.0, lambda _line: None, [sys.executable, "-c", "import time; time.sleep(600)"]
    )
    await instances.start()
    (one,) = await instances.running()
    os.kill(one.pid, signal.SIGKILL)
    await until_gone(one.pid)
    assert await instances.running() == []


def test_a_worker_is_started_by_its_argv_without_any_setting_on_it() -> None:
    assert worker_command() == [sys.executable, "-P", "-m", "v2t", "worker", "run"]


def test_what_waits_for_the_limit_of_a_provider_waits_for_no_worker() -> None:
    assert _load_of(QueueFacts("v2t-remote-openai", (), 900, 400.0), 300.0) == Load(backlog=50)
    assert _load_of(QueueFacts("v2t-remote-openai", (), 20, 400.0), 300.0) == Load(backlog=20)
    assert _load_of(QueueFacts("v2t-remote-ssh_whisper", (), 900, 400.0), 0.0) == Load(900, 400.0)
