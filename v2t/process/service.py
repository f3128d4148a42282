"""A server process that this one owns: started, watched, restarted when it dies, ended with its owner."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from v2t.process.program import death_signal

logger = logging.getLogger(__name__)

_RESTART_SECONDS = 0.2


class Service:
    """A long-running program.

    It gets a session of its own, so that Ctrl-C does not reach it, and a death signal, so that
    even `kill -9` of the owner leaves nothing running.

    Args:
        command: its argv.
        log: file that receives what it prints.
        environment: variables on top of this process's own.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._command = tuple(command)
        self._environment = dict(environment or {})
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id, 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start it. Call from the main thread: the death signal follows the thread that starts it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
                preexec_fn=death_signal(os.getpid()),  # noqa: PLW1509 - it only makes system calls
            )

    def keep_running(self) -> None:
        """From now on, start it again whenever it dies."""
        self._watch = asyncio.get_running_loop().create_task(self._restart_when_dead())

    async def stop(self) -> None:
        """End it by force: for servers whose data is safe then, which is what their crash tests show."""
        if self._watch:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.kill()
        await asyncio.to_thread(process.wait)

    async def _restart_when_dead(self) -> None:
        while True:
            await asyncio.sleep(_RESTART_SECONDS)
            if self.exit_code is not None:
                logger.warning("restarting a server", extra={"action": "service_restart", "code": self.exit_code})
                self.start()
