"""What every engine on this machine shares: the parent's half of a Transcriber, and the child's model."""

from __future__ import annotations

import asyncio
import dataclasses
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import EngineEmptyResult
from v2t.domain.filters import filter_segments
from v2t.domain.jobs import SAMPLE_RATE, Chunk, TranscribeOptions
from v2t.domain.ports import EngineResult, OnProgress
from v2t.domain.transcript import Segment, segments_from_document
from v2t.providers.engines import Engines
from v2t.providers.heard import SURELY_SPEECH_SECONDS

if TYPE_CHECKING:
    import numpy as np

    from v2t.process.pool import ChildPool

LocateModel = Callable[[str, str], Awaitable[Path]]
"""(model name, model format) → verified path of its files."""

NeededMemory = Callable[[str, str], int]

_LIMIT_FACTOR = 3
_LIMIT_FLOOR_BYTES = 1024 * 1024 * 1024
"""Room for the buffers of a long chunk, and far from what would hurt the machine."""


class LocalEngine:
    """A Transcriber whose computing happens in a confined child process.

    Args:
        pool: the children, one job each at a time.
        locate_model: finds or fetches the verified model files.
        needed_memory: model name and format → bytes an engine needs with it.
        memory_limit: bytes an engine may use; 0: three times what the model needs, and at least 1 GiB.
        threads: computing threads in each child.
        acceleration: what to compute on: cpu or cuda.
        stall_seconds: how long a child may be silent before it is taken for hung.
        engines: told how its jobs end; None: nobody else wants to know.
    """

    name: ClassVar[str]
    model_format: ClassVar[str]
    job: ClassVar[str]

    def __init__(
        self,
        pool: ChildPool,
        locate_model: LocateModel,
        needed_memory: NeededMemory,
        *,
        memory_limit: int = 0,
        threads: int = 1,
        acceleration: str = "cpu",
        stall_seconds: float = 60.0,
        engines: Engines | None = None,
    ) -> None:
        self._pool = pool
        self._locate_model = locate_model
        self._needed_memory = needed_memory
        self._memory_limit = memory_limit
        self._threads = threads
        self._acceleration = acceleration
        self._stall_seconds = stall_seconds
        self._engines = engines or Engines()

    @property
    def capabilities(self) -> Capabilities:
        """See RemoteTranscriber.capabilities: all that Whisper can, and for nothing."""
        return Capabilities(translation=True, streaming=True)

    async def check(self) -> str:
        """See RemoteTranscriber.check; it is asked once, and what its jobs showed since counts as well."""
        return await asyncio.to_thread(self._engines.check, self.name)

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        """See Transcriber.transcribe."""
        payload = {
            **await self._model_payload(options.model),
            "audio": str(audio),
            "language": options.language,
            "translate": options.translate,
            "prompt": options.prompt,
            "must_have_text": chunk.speech_seconds >= SURELY_SPEECH_SECONDS,
        }
        answer = await self._run(options.model, payload, on_progress)
        return EngineResult(
            segments=segments_from_document(answer["segments"]),
            language=answer["language"],
            language_probability=answer["language_probability"],
            engine_seconds=answer["engine_seconds"],
        )

    async def warm_up(self, model: str) -> None:
        """Load the model into a child ahead of the first job."""
        await self._run(model, {**await self._model_payload(model), "audio": ""}, lambda _fraction: None)

    async def _model_payload(self, model: str) -> dict[str, Any]:
        path = await self._locate_model(model, self.model_format)
        return {"model": str(path), "threads": self._threads, "acceleration": self._acceleration}

    async def _run(self, model: str, payload: dict[str, Any], on_progress: OnProgress) -> dict[str, Any]:
        needed = self._needed_memory(model, self.model_format)
        with self._engines.job(self.name):
            return await self._pool.run(
                self.job,
                payload,
                lambda event: on_progress(event["progress"]),
                stall_seconds=self._stall_seconds,
                limit_bytes=self._memory_limit or max(_LIMIT_FLOOR_BYTES, _LIMIT_FACTOR * needed),
                reserve_bytes=needed,
            )


# --- what follows runs in the child -------------------------------------------------------------

_loaded: tuple[str, Any] = ("", None)


def loaded_model(key: str, load: Callable[[], Any], *, anew: bool = False) -> Any:
    """The model under `key`, loaded once, or `anew`; loading another one drops it first."""
    global _loaded  # noqa: PLW0603 - a child process holds one model, and this is it
    if anew or _loaded[0] != key:
        _loaded = ("", None)
        _loaded = (key, load())
    return _loaded[1]


def hear_twice_if_needed(hear: Callable[[bool], list[Segment]]) -> list[Segment]:
    """Segments of a first, greedy pass, or of a second, sampling one where the first went wrong.

    Sampling draws on a generator whose state outlives the chunk, so a second pass has to begin with a
    model loaded anew: only then does the same chunk always give the same text.

    Args:
        hear: does a pass; told whether it is the second.
    """
    first = hear(False)
    lost = _lost_seconds(first)
    if not lost:
        return first
    second = hear(True)
    return second if second and _lost_seconds(second) < lost else first


def _lost_seconds(segments: list[Segment]) -> float:
    """How much of what was heard the merge would drop as loops or invention."""
    return sum(span.end - span.start for span in filter_segments(segments)[1])


def read_samples(path: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The samples of a chunk's WAV (16 kHz mono 16-bit) as float32 in [-1, 1), shape [samples]."""
    import numpy as np

    with wave.open(path, "rb") as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (SAMPLE_RATE, 1, 2):
            raise ValueError(f"{path} is not a 16 kHz mono 16-bit WAV")
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768.0


def as_answer(
    segments: list[Segment], language: str, language_probability: float, engine_seconds: float, *, must_have_text: bool
) -> dict[str, Any]:
    """What a child job returns for one chunk.

    Raises:
        EngineEmptyResult: no text although there surely was speech.
    """
    if must_have_text and not segments:
        raise EngineEmptyResult
    return {
        "segments": [dataclasses.asdict(segment) for segment in segments],
        "language": language,
        "language_probability": language_probability,
        "engine_seconds": engine_seconds,
    }
