"""The parent's side: a few confined children, started when needed, replaced when they fail.

A child that crashes, stalls, runs out of memory or is cancelled costs that one job: it is killed
and the next job gets a new one. An idle child keeps what it loaded (a model) until `idle_seconds`
have passed, then it is ended, which frees the memory for certain.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from v2t.domain.errors import EngineCrashed, EngineOutOfMemory, EngineTimedOut, ProviderError, from_wire
from v2t.process.memory import goes_over

logger = logging.getLogger(__name__)

OnEvent = Callable[[dict[str, Any]], None]

_LINE_LIMIT_BYTES = 64 * 1024 * 1024  # one answer is one line; a two-minute chunk needs about 100 kB
_STDERR_TAIL_LINES = 20


@dataclass(eq=False, slots=True)
class _Child:
    process: asyncio.subprocess.Process
    stderr_tail: list[str]
    stderr_reader: asyncio.Task[None]
    limit_bytes: int
    is_over_limit: bool = False
    idle_timer: asyncio.TimerHandle | None = field(default=None)


class ChildPool:
    """At most `size` children, each doing one job at a time.

    Args:
        size: how many jobs run at once; more wait their turn.
        budget_bytes: what the running jobs may need together; a job that does not fit waits,
            unless it would be the only one. 0: no such bound.
        idle_seconds: how long an unused child is kept.
        environment: variables for the children on top of the parent's.
    """

    def __init__(
        self,
        size: int,
        *,
        budget_bytes: int = 0,
        idle_seconds: float = 300.0,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._size = size
        self._budget_bytes = budget_bytes
        self._idle_seconds = idle_seconds
        self._environment = environment or {}
        self._changed = asyncio.Condition()
        self._busy = 0
        self._reserved_bytes = 0
        self._idle: list[_Child] = []
        self._alive: set[_Child] = set()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the living children."""
        return tuple(child.process.pid for child in self._alive)

    async def run(
        self,
        job: str,
        payload: dict[str, Any],
        on_event: OnEvent,
        *,
        stall_seconds: float,
        limit_bytes: int = 0,
        reserve_bytes: int = 0,
    ) -> dict[str, Any]:
        """Do `job` ("package.module:function") in a child and return its result.

        Cancelling the task kills the child at once.

        Args:
            job: the function, see v2t.process.child.Job.
            payload: its JSON-able argument.
            on_event: called with each event the job emits.
            stall_seconds: how long the child may be silent before it is taken for hung.
            limit_bytes: private memory that the child may use; 0 for no limit.
            reserve_bytes: memory that the job is expected to need, counted against the budget.

        Raises:
            V2TError: whatever the job raised.
            EngineCrashed: the child died.
            EngineOutOfMemory: it went over its memory limit.
            EngineTimedOut: it was silent for too long.
        """
        async with self._turn(reserve_bytes):
            child = await self._take_idle(limit_bytes) or await self._start(limit_bytes)
            try:
                async with _within_limit(child):
                    answer = await self._converse(child, {"job": job, "payload": payload}, on_event, stall_seconds)
            except BaseException:
                await self._kill(child)
                raise
            failure = from_wire(answer["error"], answer["message"]) if "error" in answer else None
            if isinstance(failure, ProviderError):
                await self._kill(child)  # an engine that failed once is not trusted again
            else:
                self._keep(child)
        if failure:
            raise failure
        result: dict[str, Any] = answer["result"]
        return result

    async def close(self) -> None:
        """End every child."""
        for child in tuple(self._alive):
            await self._kill(child)
        await asyncio.gather(*self._ending)

    async def _converse(
        self, child: _Child, request: dict[str, Any], on_event: OnEvent, stall_seconds: float
    ) -> dict[str, Any]:
        stdin, stdout = child.process.stdin, child.process.stdout
        assert stdin is not None and stdout is not None
        with suppress(ConnectionError):  # a child that is dead already shows it by closing stdout
            stdin.write(json.dumps(request).encode() + b"\n")
            await stdin.drain()
        while True:
            try:
                async with asyncio.timeout(stall_seconds):  # wait_for may swallow a cancellation in Python 3.11
                    line = await stdout.readline()
            except TimeoutError:
                raise EngineTimedOut(f"The child process was silent for {stall_seconds:.0f} s and was ended.") from None
            if not line.endswith(b"\n"):
                raise await self._explain_death(child)
            answer: dict[str, Any] = json.loads(line)
            if "event" not in answer:
                return answer
            on_event(answer["event"])

    async def _explain_death(self, child: _Child) -> EngineCrashed | EngineOutOfMemory:
        code = await child.process.wait()
        await child.stderr_reader
        tail = " ".join(child.stderr_tail)
        logger.warning("child process died", extra={"action": "child_died", "code": code, "stderr": tail})
        if child.is_over_limit or "bad_alloc" in tail or "MemoryError" in tail or "Cannot allocate memory" in tail:
            return EngineOutOfMemory()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return EngineCrashed(f"The child process died ({how}).")

    @asynccontextmanager
    async def _turn(self, reserve_bytes: int) -> AsyncIterator[None]:
        def fits() -> bool:
            within = not self._budget_bytes or self._reserved_bytes + reserve_bytes <= self._budget_bytes
            return self._busy == 0 or (self._busy < self._size and within)

        async with self._changed:
            await self._changed.wait_for(fits)
            self._busy += 1
            self._reserved_bytes += reserve_bytes
        try:
            yield
        finally:
            # No await before the numbers are right: a second cancellation must not leave them wrong.
            self._busy -= 1
            self._reserved_bytes -= reserve_bytes
            async with self._changed:
                self._changed.notify_all()

    async def _take_idle(self, limit_bytes: int) -> _Child | None:
        while self._idle:
            child = self._idle.pop()  # the most recently used: the others may unload
            if child.idle_timer:
                child.idle_timer.cancel()
            if not _has_ended(child.process) and child.limit_bytes == limit_bytes:
                return child
            await self._kill(child)
        return None

    def _keep(self, child: _Child) -> None:
        child.idle_timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._end_idle, child)
        self._idle.append(child)

    def _end_idle(self, child: _Child) -> None:
        if child in self._idle:
            self._idle.remove(child)
            ending = asyncio.get_running_loop().create_task(self._kill(child))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _start(self, limit_bytes: int) -> _Child:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "v2t.process.child", str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self._environment},
            limit=_LINE_LIMIT_BYTES,
            start_new_session=True,  # so that Ctrl-C reaches only the parent, which then decides
        )
        tail: list[str] = []
        child = _Child(process, tail, asyncio.create_task(_read_tail(process, tail)), limit_bytes)
        self._alive.add(child)
        return child

    async def _kill(self, child: _Child) -> None:
        if child in self._idle:
            self._idle.remove(child)
        self._forget(child)
        _end(child)
        await child.process.wait()
        await child.stderr_reader

    def _forget(self, child: _Child) -> None:
        self._alive.discard(child)
        if child.idle_timer:
            child.idle_timer.cancel()


def _end(child: _Child) -> None:
    """Kill it with the programs that it runs: it leads the group that they are in, which outlives it while they do."""
    with suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)


def _has_ended(process: asyncio.subprocess.Process) -> bool:
    """Asks the kernel, since asyncio hears of it a moment later."""
    if process.returncode is not None:
        return True
    with suppress(ChildProcessError):  # asyncio is hearing of it just now
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True


@asynccontextmanager
async def _within_limit(child: _Child) -> AsyncIterator[None]:
    """Kill the child if it uses more memory than it may while the body runs."""
    if not child.limit_bytes:
        yield
        return

    async def watch() -> None:
        await goes_over(child.process.pid, child.limit_bytes)
        child.is_over_limit = True
        _end(child)

    watching = asyncio.get_running_loop().create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


async def _read_tail(process: asyncio.subprocess.Process, tail: list[str]) -> None:
    """Drain stderr, keeping the last lines for the log: a full pipe would block the child."""
    assert process.stderr is not None
    while block := await process.stderr.read(65536):
        tail.extend(block.decode(errors="replace").splitlines())
        del tail[:-_STDERR_TAIL_LINES]
