"""Ctrl-C in commands that wait: the first time orderly, the second time at once."""

from __future__ import annotations

import signal
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

from v2t.cli.output import leave_at_once

Value = TypeVar("Value")

_early: list[int] = []
"""The interrupts that came before anything waited."""


def remember_interrupts() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, as Python does, and remember it until something waits.

    Commands spend their first moments importing, and a native module that meets the exception there may drop it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as for a job under nohup
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _early.append(number)
    raise KeyboardInterrupt


def run_interruptible(coroutine: Coroutine[Any, Any, Value]) -> Value:
    """Run it to its end; Ctrl-C and SIGTERM cancel it, so that it can clean up, and the second time end the process."""
    import asyncio

    async def interruptible() -> Value:
        task = asyncio.current_task()
        assert task is not None

        def interrupt() -> None:
            if task.cancelling():
                leave_at_once()
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        if _early:
            _early.clear()
            task.cancel()
        return await coroutine

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
