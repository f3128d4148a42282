"""Ctrl-C in commands that wait: the first time orderly, the second time at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from v2t.cli.output import leave_at_once

Value = TypeVar("Value")


def run_interruptible(coroutine: Coroutine[Any, Any, Value]) -> Value:
    """Run it to its end; Ctrl-C and SIGTERM cancel it, so that it can clean up, and the second time end the process."""

    async def interruptible() -> Value:
        task = asyncio.current_task()
        assert task is not None

        def interrupt() -> None:
            if task.cancelling():
                leave_at_once()
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        return await coroutine

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
