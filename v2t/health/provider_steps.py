"""Sees step by step whether a provider on another machine can be used, for a person who sets one up."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from v2t.domain.errors import V2TError
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.providers.trial import SAMPLE_SECONDS, Step, write_sample

if TYPE_CHECKING:
    from v2t.config import Settings
    from v2t.domain.ports import RemoteTranscriber


async def try_provider(settings: Settings, name: str) -> AsyncIterator[Step]:
    """Open it, ask whether it would take work, and give it a second of silence; ends at the first step that fails."""
    from v2t import wiring

    opened: list[RemoteTranscriber] = []

    async def open_it() -> str:
        opened.append(wiring.open_provider(settings, name))
        return "are well formed"

    async def check() -> str:
        return await opened[0].check()

    async def transcribe() -> str:
        with tempfile.TemporaryDirectory() as folder:
            audio = write_sample(Path(folder) / "0.wav")
            chunk = Chunk(0, "0.wav", (Piece(0.0, float(SAMPLE_SECONDS)),))
            options = TranscribeOptions(provider=name, model="", language="en")
            await opened[0].transcribe(audio, chunk, options, lambda _: None)
        return f"{SAMPLE_SECONDS} s of silence was taken"

    try:
        for title, action in (("settings", open_it), ("check", check), ("sample", transcribe)):
            step = await _try(title, action)
            yield step
            if not step.ok:
                return
    finally:
        for provider in opened:
            await provider.close()


async def _try(name: str, action: Callable[[], Awaitable[str]]) -> Step:
    started = time.monotonic()
    try:
        ok, detail = True, await action()
    except V2TError as error:
        ok, detail = False, error.message
    return Step(name, ok, detail, time.monotonic() - started)
