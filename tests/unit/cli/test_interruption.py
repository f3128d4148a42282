"""Tests of how commands are interrupted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from v2t.cli.interruption import remember_interrupts, run_interruptible


@pytest.fixture(autouse=True)
def python_handles_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def work() -> str:
    await asyncio.sleep(0)
    return "done"


def test_what_is_not_interrupted_runs_to_its_end() -> None:
    remember_interrupts()
    assert run_interruptible(work()) == "done"


def test_an_interrupt_while_it_waits() -> None:
    cleaned = []

    async def wait() -> None:
        try:
            interrupt()
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        run_interruptible(wait())
    assert cleaned


def test_an_interrupt_that_was_swallowed_before_stops_the_first_wait_only() -> None:
    remember_interrupts()
    with pytest.raises(KeyboardInterrupt):  # which a native module would not let through
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        run_interruptible(work())
    assert run_interruptible(work()) == "done"


def test_ignored_interrupts_stay_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    remember_interrupts()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
