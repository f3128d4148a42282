from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.processes import TESTS, is_alive, until_gone

from v2t.domain.errors import (
    EngineCrashed,
    EngineEmptyResult,
    EngineOutOfMemory,
    EngineTimedOut,
    NotAudio,
    V2TError,
)
from v2t.process.pool import ChildPool

JOBS = {"PYTHONPATH": str(TESTS)}
_MEGABYTE = 1024 * 1024


@pytest.fixture
async def pool() -> AsyncIterator[ChildPool]:
    opened = ChildPool(1, environment=JOBS)
    yield opened
    await opened.close()


async def run(
    pool: ChildPool, job: str, /, stall_seconds: float = 20.0, limit_bytes: int = 0, **payload: Any
) -> dict[str, Any]:
    return await pool.run(
        f"support.child_jobs:{job}",
        payload,
        lambda _event: None,
        stall_seconds=stall_seconds,
        limit_bytes=limit_bytes,
    )


def _network_namespaces_work() -> bool:
    program = shutil.which("unshare")
    if program is None:
        return False
    command = [program, "--net", "true"] if os.geteuid() == 0 else [program, "--map-root-user", "--net", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


class Running:
    """A job that has told its process id and goes on."""

    def __init__(self, pool: ChildPool, job: str, **payload: Any) -> None:
        self.pid = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(
            pool.run(
                f"support.child_jobs:{job}", payload, lambda event: self.pid.set_result(event["pid"]), stall_seconds=20
            )
        )


async def test_a_job_answers_after_its_events_in_their_order(pool: ChildPool) -> None:
    events: list[dict[str, Any]] = []
    answer = await pool.run("support.child_jobs:count", {"events": 3}, events.append, stall_seconds=20)
    assert events == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert answer == {"pid": pool.pids[0], "calls": 1}


async def test_a_child_keeps_what_it_loaded_from_job_to_job(pool: ChildPool) -> None:
    first = await run(pool, "count")
    second = await run(pool, "count")
    assert (second["pid"], second["calls"]) == (first["pid"], 2)


async def test_payloads_and_answers_of_any_size_and_script_pass(pool: ChildPool) -> None:
    payload: dict[str, Any] = {"text": "naïve “数” \n\x00 \ud800", "long": "x" * 1_000_000}
    assert await run(pool, "echo", **payload) == payload
    assert len((await run(pool, "fill", characters=3_000_000))["text"]) == 3_000_000


async def test_what_libraries_print_neither_blocks_nor_reaches_the_answers(pool: ChildPool) -> None:
    assert await run(pool, "chatter") == {"done": True}
    assert await run(pool, "chatter") == {"done": True}


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("NotAudio", "NotAudio", "not audio at all"),
        ("UnknownModel", "UnknownModel", "no such model"),
        ("ValueError", "EngineCrashed", "ValueError: first line"),
        ("silent", "EngineCrashed", "RuntimeError: RuntimeError"),
        ("memory", "EngineOutOfMemory", EngineOutOfMemory().message),
        ("bad_alloc", "EngineOutOfMemory", EngineOutOfMemory().message),
        ("torch", "EngineOutOfMemory", EngineOutOfMemory().message),
        ("permission", "EngineCrashed", "PermissionError: [Errno 13] Permission denied"),
    ],
)
async def test_a_failure_comes_back_as_its_own_error(pool: ChildPool, error: str, code: str, message: str) -> None:
    with pytest.raises(V2TError) as caught:
        await run(pool, "fail", error=error)
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize("error", ["disk", "quota"])
async def test_a_full_disk_is_named_as_such(pool: ChildPool, error: str) -> None:
    with pytest.raises(V2TError) as caught:
        await run(pool, "fail", error=error)
    assert caught.value.code == "StorageFull"


async def test_bad_input_does_not_cost_the_child(pool: ChildPool) -> None:
    before = await run(pool, "count")
    with pytest.raises(NotAudio):
        await run(pool, "fail", error="NotAudio")
    assert (await run(pool, "count"))["pid"] == before["pid"]


async def test_an_engine_that_failed_is_not_trusted_again(pool: ChildPool) -> None:
    before = await run(pool, "count")
    with pytest.raises(EngineEmptyResult):
        await run(pool, "fail", error="EngineEmptyResult")
    after = await run(pool, "count")
    assert after["pid"] != before["pid"]
    assert not is_alive(before["pid"])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"signal": "SIGKILL"}, "SIGKILL"),
        ({"signal": "SIGSEGV"}, "SIGSEGV"),
        ({"signal": "SIGABRT"}, "SIGABRT"),
        ({"exit": 3}, "exit code 3"),
        ({"exit": 0}, "exit code 0"),
    ],
)
async def test_a_child_that_dies_costs_one_job_only(pool: ChildPool, payload: dict[str, Any], reason: str) -> None:
    with pytest.raises(EngineCrashed, match=reason):
        await pool.run("support.child_jobs:die", payload, print, stall_seconds=20)
    assert (await run(pool, "count"))["calls"] == 1


def kill_unheard(pid: int) -> None:
    """Kill a process and see it end without a turn of the event loop, which would hear of it."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline, "it ends"
        time.sleep(0.01)


async def test_a_child_that_died_while_idle_is_replaced(pool: ChildPool) -> None:
    first = await run(pool, "count")
    kill_unheard(first["pid"])
    assert (await run(pool, "count"))["calls"] == 1


async def test_a_death_by_lack_of_memory_is_told_by_its_last_words(pool: ChildPool) -> None:
    with pytest.raises(EngineOutOfMemory):
        await run(pool, "swallow", how="native")


async def test_a_child_may_not_use_more_memory_than_it_was_given(pool: ChildPool) -> None:
    limit = 200 * _MEGABYTE
    with pytest.raises(EngineOutOfMemory):
        await run(pool, "swallow", how="python", megabytes=300, limit_bytes=limit)
    assert await run(pool, "swallow", how="python", megabytes=100, limit_bytes=limit) == {"megabytes": 100}


async def test_a_child_may_reserve_more_than_it_may_use(pool: ChildPool) -> None:
    """As Intel's MKL does, several times over, on some processors."""
    assert await run(pool, "reserve", megabytes=4000, limit_bytes=200 * _MEGABYTE) == {"megabytes": 4000}


async def test_a_child_is_used_again_only_under_the_limit_it_was_born_with(pool: ChildPool) -> None:
    first = await run(pool, "count", limit_bytes=200 * _MEGABYTE)
    second = await run(pool, "count", limit_bytes=300 * _MEGABYTE)
    assert second["pid"] != first["pid"]
    assert not is_alive(first["pid"])


async def test_jobs_wait_for_memory_rather_than_share_too_little() -> None:
    pool = ChildPool(3, budget_bytes=100, environment=JOBS)
    running = 0
    most = 0

    async def work(reserve_bytes: int) -> None:
        nonlocal running, most

        def begun(_event: dict[str, Any]) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)

        payload = {"events": 1, "pause": 0.2}
        await pool.run("support.child_jobs:count", payload, begun, stall_seconds=20, reserve_bytes=reserve_bytes)
        running -= 1

    try:
        await asyncio.gather(*(work(50) for _ in range(4)))
        assert most == 2
        most = 0
        await asyncio.gather(work(101), work(101))  # more than there is: one at a time, but not never
        assert most == 1
    finally:
        await pool.close()


async def test_the_memory_of_a_program_counts_as_the_child_s(pool: ChildPool) -> None:
    script = (
        "exec python3 -c 'x = bytearray(300 << 20); x[::4096] = b\"x\" * len(x[::4096]); import time; time.sleep(20)'"
    )
    with pytest.raises(EngineOutOfMemory):
        await run(pool, "run_shell", limit_bytes=200 * _MEGABYTE, script=script)


async def test_cancelling_ends_programs_and_what_these_have_started(pool: ChildPool) -> None:
    job = Running(pool, "run_shell", script="sleep 600 & echo $! >&2; wait")
    pid = await job.pid
    job.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job.task
    await until_gone(pid)


async def test_a_program_dies_with_the_child_that_runs_it(pool: ChildPool) -> None:
    job = Running(pool, "run_shell", script="echo $$ >&2; exec sleep 600")
    pid = await job.pid
    kill_unheard(pool.pids[0])
    await until_gone(pid)
    with pytest.raises(EngineCrashed, match="SIGKILL"):
        await job.task


async def test_a_program_is_told_no_secret(pool: ChildPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_OPENAI__API_KEY", "hush")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    answer = await run(pool, "run_shell", script="env >&2")
    assert "CUDA_VISIBLE_DEVICES=3" in answer["said"]
    assert not [line for line in answer["said"] if "hush" in line or "PYTHONPATH" in line]


async def test_what_a_program_says_and_how_it_ends_is_told(pool: ChildPool) -> None:
    script = "printf 'a\\rb\\n\\nc\\377' >&2; echo text; kill -ILL $$"
    assert await run(pool, "run_shell", script=script) == {"code": -signal.SIGILL, "said": ["a", "b", "c\ufffd"]}


async def test_a_silent_child_is_ended(pool: ChildPool) -> None:
    with pytest.raises(EngineTimedOut, match="silent for 1 s"):
        await run(pool, "hang", stall_seconds=0.9, deaf=True)
    assert pool.pids == ()


async def test_a_slow_child_that_shows_life_is_not_ended(pool: ChildPool) -> None:
    await run(pool, "count")
    assert (await run(pool, "count", stall_seconds=0.5, events=8, pause=0.1))["calls"] == 2


async def test_cancelling_kills_even_a_deaf_child_at_once(pool: ChildPool) -> None:
    job = Running(pool, "hang", deaf=True)
    pid = await job.pid
    begun = time.monotonic()
    job.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job.task
    assert not is_alive(pid)
    assert time.monotonic() - begun < 1.0
    assert (await run(pool, "count"))["calls"] == 1


async def test_cancelling_a_job_that_waits_for_its_turn_harms_nobody(pool: ChildPool) -> None:
    working = asyncio.create_task(run(pool, "count", events=1, pause=0.3))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(run(pool, "count"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await working)["calls"] == 1
    assert (await run(pool, "count"))["calls"] == 2


async def test_no_more_children_than_the_size_of_the_pool() -> None:
    pool = ChildPool(2, environment=JOBS)
    try:
        answers = await asyncio.gather(*(run(pool, "count", events=1, pause=0.2) for _ in range(5)))
        assert len({answer["pid"] for answer in answers}) == 2
        assert len(pool.pids) == 2
    finally:
        await pool.close()


async def test_an_idle_child_ends_and_frees_its_memory() -> None:
    pool = ChildPool(1, idle_seconds=0.3, environment=JOBS)
    try:
        first = await run(pool, "count")
        again = await run(pool, "count", events=5, pause=0.1)  # work for longer than the idle time
        assert again["pid"] == first["pid"]
        await until_gone(first["pid"])
        assert pool.pids == ()
        assert (await run(pool, "count"))["calls"] == 1
    finally:
        await pool.close()


async def test_closing_leaves_no_process(pool: ChildPool) -> None:
    idle = await run(pool, "count")
    await pool.close()
    assert not is_alive(idle["pid"])
    assert pool.pids == ()


async def test_a_child_is_confined() -> None:
    pool = ChildPool(1, environment={**JOBS, "V2T_TEST_VARIABLE": "of the child alone"})
    try:
        facts = await run(pool, "facts")
    finally:
        await pool.close()
    assert facts["no_new_privileges"] == 1
    assert facts["core"] == [0, 0]
    assert facts["first_to_go"] == "1000"
    assert facts["session"]
    assert facts["variable"] == "of the child alone"
    assert "V2T_TEST_VARIABLE" not in os.environ


async def test_a_child_ignores_the_interrupt_that_a_terminal_sends(pool: ChildPool) -> None:
    first = await run(pool, "count")
    os.kill(first["pid"], signal.SIGINT)
    assert (await run(pool, "count"))["pid"] == first["pid"]


async def test_a_child_reaches_no_network(pool: ChildPool) -> None:
    if not _network_namespaces_work():
        pytest.skip("this machine gives no network namespaces")
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = await run(pool, "connect", port=server.getsockname()[1])
    assert not answer["connected"]


def test_a_child_dies_with_its_parent_however_that_dies() -> None:
    parent = (
        "import asyncio\n"
        "from v2t.process.pool import ChildPool\n"
        "pool = ChildPool(1)\n"
        "say = lambda event: print(event['pid'], flush=True)\n"
        "asyncio.run(pool.run('support.child_jobs:hang', {'deaf': True}, say, stall_seconds=60))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, env={**os.environ, **JOBS}
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert is_alive(child)
        process.kill()
    asyncio.run(until_gone(child))


async def test_cancelling_works_at_any_moment_of_a_talkative_job(pool: ChildPool) -> None:
    async def cancel_at_the_first_event() -> None:
        heard = asyncio.Event()
        task = asyncio.create_task(
            pool.run("support.child_jobs:count", {"events": 100_000}, lambda _: heard.set(), stall_seconds=20)
        )
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for _ in range(20):
        await cancel_at_the_first_event()
        assert pool.pids == ()
