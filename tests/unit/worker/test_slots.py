from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.worker.slots import Machine, SharedSlots, plan_slots

GIGABYTE = 1_000_000_000


def test_there_is_a_slot_for_each_core_that_memory_can_feed() -> None:
    assert plan_slots(Machine(8, 16 * GIGABYTE), "cpu", GIGABYTE) == 8
    assert plan_slots(Machine(8, 4 * GIGABYTE), "cpu", GIGABYTE) == 3


def test_a_larger_model_gets_fewer_slots() -> None:
    machine = Machine(8, 16 * GIGABYTE)
    assert plan_slots(machine, "memory", 5 * GIGABYTE) < plan_slots(machine, "memory", GIGABYTE)


def test_engines_with_threads_share_the_cores() -> None:
    assert plan_slots(Machine(8, 0), "cpu", GIGABYTE, threads=4) == 2


def test_what_computes_on_a_card_has_one_slot_however_many_cards_and_cores_there_are() -> None:
    assert plan_slots(Machine(32, 64 * GIGABYTE, graphics_cards=2), "gpu", GIGABYTE) == 1
    assert plan_slots(Machine(32, 64 * GIGABYTE), "gpu", GIGABYTE) == 1
    assert plan_slots(Machine(32, 64 * GIGABYTE, graphics_cards=2), "cpu", GIGABYTE) == 1


def test_the_settings_have_the_last_word() -> None:
    assert plan_slots(Machine(2, GIGABYTE), "cpu", 10 * GIGABYTE, slots=5) == 5


@pytest.mark.parametrize(("memory", "model"), [(0, GIGABYTE), (GIGABYTE, 0)])
def test_unknown_memory_leaves_the_cores(memory: int, model: int) -> None:
    assert plan_slots(Machine(3, memory), "cpu", model) == 3


@given(
    st.integers(1, 256), st.integers(0, 10**13), st.integers(0, 16), st.sampled_from(["cpu", "gpu", "memory"]),
    st.integers(0, 10**11), st.integers(1, 64),
)  # fmt: skip
def test_there_is_always_one_slot_and_never_more_than_memory_holds(
    cores: int, memory: int, cards: int, kind: str, model: int, threads: int
) -> None:
    slots = plan_slots(Machine(cores, memory, cards), kind, model, threads=threads)
    assert slots >= 1
    assert slots == 1 or not memory or slots * model <= memory


def asking(queue: str) -> Any:
    return SimpleNamespace(task_queue=queue)


def of(permit: Any) -> Any:
    return SimpleNamespace(permit=permit)


async def test_an_idle_queue_does_not_take_the_slot_of_the_other() -> None:
    slots = SharedSlots(1)
    gpu, cpu = await slots.reserve_slot(asking("gpu")), await slots.reserve_slot(asking("cpu"))
    slots.mark_slot_used(of(cpu))
    assert slots.try_reserve_slot(asking("cpu")) is None
    slots.release_slot(of(gpu))  # its poll ended without a task
    assert slots.try_reserve_slot(asking("gpu")) is None, "the only slot is in use"
    slots.release_slot(of(cpu))
    assert slots.try_reserve_slot(asking("gpu")) is not None


async def test_who_waits_gets_the_slot_that_another_thread_releases() -> None:
    slots = SharedSlots(1)
    permit = await slots.reserve_slot(asking("cpu"))
    slots.mark_slot_used(of(permit))
    waiting = [asyncio.create_task(slots.reserve_slot(asking(queue))) for queue in ("cpu", "gpu")]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    await asyncio.to_thread(slots.release_slot, of(permit))
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    slots = SharedSlots(1)
    permit = await slots.reserve_slot(asking("cpu"))
    waiting = asyncio.create_task(slots.reserve_slot(asking("cpu")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    slots.release_slot(of(permit))
    assert slots.try_reserve_slot(asking("cpu")) is not None
