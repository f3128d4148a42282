"""The workers of a host as units of systemd, which root starts and ends for us: see `roles/worker/tasks/scale.yml`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from v2t.cluster.instances import Instance, ask_slots
from v2t.domain.errors import ConnectionFailed

SOCKET = Path("/run/v2t-units.socket")
"""Where root's side listens. It knows `show`, `start N` and `stop N`, and answers in lines."""

_ANSWER_SECONDS = 20.0
_RUNNING = ("active", "activating", "reloading")


class WorkerUnits:
    """`v2t-worker@1.service` and those after it.

    Args:
        least: so many are started with the host, and are never ended here.
        first_port: of the first one's health server; each further one listens one above.
        announce: told what an operator should know.
        socket: where root's side listens.
    """

    def __init__(self, least: int, first_port: int, announce: Callable[[str], None], socket: Path = SOCKET) -> None:
        self._least = least
        self._first_port = first_port
        self._announce = announce
        self._socket = socket

    async def running(self) -> Sequence[Instance]:
        """See Instances. Raises ConnectionFailed."""
        states = parse_units(await self._ask("show"))
        return await asyncio.gather(
            *(self._describe(number, pid) for number, (state, pid) in sorted(states.items()) if state in _RUNNING)
        )

    async def start(self) -> None:
        """See Instances: the first that does not run. While all that are not ended are at their end, none is."""
        states = parse_units(await self._ask("show"))
        if free := sorted(number for number, (state, _) in states.items() if state in ("inactive", "failed")):
            await self._ask(f"start {free[0]}")
            self._announce(f"worker {free[0]} starts")

    async def stop(self, name: str) -> None:
        """See Instances."""
        await self._ask(f"stop {name}")
        self._announce(f"worker {name} ends when it has drained")

    async def close(self) -> None:
        """See Instances: systemd looks after all of them."""

    async def _describe(self, number: int, pid: int) -> Instance:
        total, used = await ask_slots(self._first_port + number - 1)
        return Instance(str(number), pid, used, total, lasts=number <= self._least)

    async def _ask(self, words: str) -> str:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(f"{words}\n".encode())
                    await writer.drain()
                    answer = (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise ConnectionFailed(
                f"{self._socket} does not answer ({str(error) or 'no answer in time'}); see `systemctl status "
                "v2t-units.socket`, which the worker role sets up where worker_instances_most is set"
            ) from error
        said, _, end = answer.rstrip("\n").rpartition("\n")
        if end != "done":
            raise ConnectionFailed(f"{words} was refused: {end or 'no answer'}; see `journalctl -u 'v2t-units@*'`")
        return said


def parse_units(text: str) -> dict[int, tuple[str, int]]:
    """Number of each worker → its unit's state and process, from `systemctl show` with Id, ActiveState and MainPID."""
    states = {}
    for block in text.split("\n\n"):
        facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        number = facts["Id"].removeprefix("v2t-worker@").removesuffix(".service")
        states[int(number)] = (facts["ActiveState"], int(facts["MainPID"]))
    return states
