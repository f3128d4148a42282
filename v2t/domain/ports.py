"""What the durable code asks of the outside world; adapters implement these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from v2t.domain.jobs import Chunk, Cut, CutRequest, JobRecord, JobState, TranscribeOptions
from v2t.domain.transcript import Segment

OnProgress = Callable[[float], None]
"""Called with the fraction done, 0 to 1, often enough to serve as a sign of life."""


@dataclass(frozen=True, slots=True)
class EngineResult:
    """What an engine heard in one chunk; times are seconds from the chunk object's start."""

    segments: tuple[Segment, ...]
    language: str
    language_probability: float
    engine_seconds: float


class Transcriber(Protocol):
    """A provider: turns one decoded chunk into text."""

    @property
    def name(self) -> str:
        """Its name in settings and results."""
        ...

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        """Transcribe the 16 kHz mono WAV at `audio`.

        Cancelling the task stops the computing within 2 seconds.

        Raises:
            ProviderError: retryable or not, as its class says.
            ConfigurationError: the engine or model is not usable here.
        """
        ...


class AudioTools(Protocol):
    """Decodes and cuts hostile media."""

    async def cut(self, source: Path, request: CutRequest, folder: Path, on_progress: OnProgress) -> Cut:
        """Decode a window of `source`, find speech, write each chunk as `folder/<index>.wav`.

        Raises:
            AudioError: the file cannot be transcribed.
            StorageFull: no space for the chunks.
        """
        ...


class ObjectStore(Protocol):
    """Keeps immutable objects under keys such as `audio/<sha256>`."""

    def put_file(self, key: str, source: Path, *, move: bool = False) -> None:
        """Store a file atomically; with `move` the source may be consumed instead of copied.

        Raises:
            InputNotFound, InputUnreadable: the source cannot be read.
            StorageError: it could not be kept; nothing stands under the key.
        """
        ...

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store a small object atomically. Raises StorageError."""
        ...

    def get_bytes(self, key: str) -> bytes:
        """Read a small object. Raises ObjectMissing."""
        ...

    def open_file(self, key: str) -> AbstractContextManager[Path]:
        """The object as a local file, to be read only, valid inside the `with`. Raises ObjectMissing."""
        ...

    def exists(self, key: str) -> bool:
        """Whether a whole object stands under the key."""
        ...

    def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`, which ends with `/`."""
        ...


class JobRecords(Protocol):
    """The history of jobs, which outlives Temporal's."""

    def close(self) -> None:
        """Let go of the database."""
        ...

    def save(self, record: JobRecord) -> None:
        """Insert or replace the record of `record.job_id`. Raises StorageError."""
        ...

    def get(self, job_id: str) -> JobRecord | None:
        """One record, or None."""
        ...

    def find(
        self, *, user: str = "", state: JobState | None = None, text: str = "", limit: int = 50
    ) -> Sequence[JobRecord]:
        """Records, newest first; `text` matches part of the file name or job id."""
        ...
