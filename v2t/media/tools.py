"""The parent's side: AudioTools whose work runs in a confined child process. Imports no media library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from v2t.domain.jobs import Chunk, Cut, CutRequest, Piece, chunk_key
from v2t.domain.ports import CountEngines, OnProgress

_CUT = "v2t.media.cutting:cut_window"
_WARM_UP = "v2t.media.cutting:warm_up"


async def one_engine() -> int:
    """The default of CountEngines."""
    return 1


class JobRunner(Protocol):
    """What is asked of the pool of child processes; `v2t.process.pool.ChildPool` is one."""

    async def run(
        self,
        job: str,
        payload: dict[str, Any],
        on_event: Callable[[dict[str, Any]], None],
        *,
        stall_seconds: float,
        limit_bytes: int,
    ) -> dict[str, Any]:
        """Do a job in a child and return its result; raises what the job raised."""
        ...


class ConfinedAudioTools:
    """Implements the port `AudioTools`.

    Args:
        pool: runs the jobs.
        count_engines: asked where the request does not say how many share the file's chunks.
        target_seconds: the longest wished chunk; about 2 minutes are fastest for the Whisper engines here.
        max_seconds: longer audio is refused.
        stall_seconds: how long a child may be silent; it reports every 16 s of audio that it decodes,
            which takes it well below a second.
        limit_bytes: memory that a child may use.
    """

    def __init__(
        self,
        pool: JobRunner,
        count_engines: CountEngines = one_engine,
        target_seconds: float = 118.0,
        *,
        max_seconds: float = 360_000.0,
        stall_seconds: float = 60.0,
        limit_bytes: int = 1024 * 1024 * 1024,
    ) -> None:
        self._pool = pool
        self._count_engines = count_engines
        self._target_seconds = target_seconds
        self._max_seconds = max_seconds
        self._stall_seconds = stall_seconds
        self._limit_bytes = limit_bytes

    async def warm_up(self) -> None:
        """Load the decoder and the voice detector into a child ahead of the first file."""
        await self._run(_WARM_UP, {}, lambda _fraction: None)

    async def _run(self, job: str, payload: dict[str, Any], on_progress: OnProgress) -> dict[str, Any]:
        return await self._pool.run(
            job,
            payload,
            lambda event: on_progress(float(event["progress"])),
            stall_seconds=self._stall_seconds,
            limit_bytes=self._limit_bytes,
        )

    async def cut(self, source: Path, request: CutRequest, folder: Path, on_progress: OnProgress) -> Cut:
        """Decode a window of `source`, find speech, write each chunk as `folder/<index>.wav`.

        Raises:
            AudioError: the file cannot be transcribed.
            StorageError: a chunk could not be written.
            ProviderError: the child crashed, hung or went over its memory.
        """
        engines = request.engines or await self._count_engines()
        payload = {
            "source": str(source),
            "folder": str(folder),
            "start": request.start,
            "window_seconds": request.window_seconds,
            "first_index": request.first_index,
            "slots": engines,
            "target_seconds": self._target_seconds,
            "max_seconds": self._max_seconds,
        }
        result = await self._run(_CUT, payload, on_progress)
        return Cut(
            chunks=tuple(_chunk(item, request.job_id) for item in result["chunks"]),
            silences=_pieces(result["silences"]),
            next_start=result["next_start"],
            finished=result["finished"],
            duration_seconds=result["duration_seconds"],
            offset_seconds=result["offset_seconds"],
            decode_seconds=result["decode_seconds"],
            warnings=tuple(result["warnings"]),
            engines=engines,
        )


def _chunk(item: dict[str, Any], job_id: str) -> Chunk:
    return Chunk(item["index"], chunk_key(job_id, item["index"]), _pieces(item["pieces"]), item["last_round"])


def _pieces(spans: list[list[float]]) -> tuple[Piece, ...]:
    return tuple(Piece(start, length) for start, length in spans)
