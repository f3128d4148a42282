"""Objects of the store in asynchronous steps: every call is made in a thread, as it may take the network's time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

from v2t.domain.ports import ObjectStore

_UPLOADS_AT_ONCE = 4


@asynccontextmanager
async def opened(store: ObjectStore, key: str) -> AsyncIterator[Path]:
    """The object as a local file while the body runs. Raises ObjectMissing."""
    manager = store.open_file(key)
    entering = asyncio.create_task(asyncio.to_thread(manager.__enter__))
    try:
        path = await asyncio.shield(entering)
    except asyncio.CancelledError:
        entering.add_done_callback(lambda task: _leave(manager, task))
        raise
    try:
        yield path
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def _leave(manager: AbstractContextManager[Path], entering: asyncio.Task[Path]) -> None:
    """Nobody waits any more for the file that has come."""
    if not entering.cancelled() and entering.exception() is None:
        manager.__exit__(None, None, None)


async def put_files(store: ObjectStore, files: dict[str, Path]) -> None:
    """Move files into the store under their keys, several at once; when one fails the others are still finished."""
    free = asyncio.Semaphore(_UPLOADS_AT_ONCE)

    async def put(key: str, path: Path) -> None:
        async with free:
            await asyncio.to_thread(store.put_file, key, path, move=True)

    outcomes = await asyncio.gather(*(put(key, path) for key, path in files.items()), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
