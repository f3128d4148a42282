"""What the durable code asks of the outside world; adapters implement these."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from v2t.domain.breaker import Breaker
from v2t.domain.capabilities import Capabilities
from v2t.domain.jobs import (
    Choice,
    Chunk,
    Cut,
    CutRequest,
    JobState,
    TranscribeOptions,
    TranscribeRequest,
    TranscribeResult,
)
from v2t.domain.records import CallsLine, CostLine, JobRecord, ProviderAttempt
from v2t.domain.transcript import Segment

OnProgress = Callable[[float], None]
"""Called with the fraction done, 0 to 1, often enough to serve as a sign of life."""

OnAttempt = Callable[[ProviderAttempt], None]
"""Called after each try of a provider, failed ones included, to measure it; it must not block."""


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


class RemoteTranscriber(Transcriber, Protocol):
    """A provider on another machine, which is reached over a network."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, and its limits."""
        ...

    async def check(self) -> str:
        """See whether it would take work now, cheaply and without computing; what it says of itself, in a few words.

        Raises:
            ProviderError, CredentialsRefused, ConfigurationError: why it would not.
        """
        ...

    async def close(self) -> None:
        """Let go of its connections."""
        ...


class Breakers(Protocol):
    """What is known of the providers' failures, on one machine or in a whole cluster."""

    def read(self, provider: str) -> Breaker:
        """Of one provider."""
        ...

    def change(self, provider: str, change: Callable[[Breaker], tuple[Breaker, bool]]) -> bool:
        """Put what `change` makes of it in its place, and answer what that says besides.

        `change` may be called again where others have changed it meanwhile.
        """
        ...


ChooseProviders = Callable[[TranscribeRequest, float, Path | None], Awaitable[tuple[Choice, ...]]]
"""Request, seconds of its audio, 0 if not known, and its first chunk, if there is speech in it → whom to ask, one after
the other; empty: as the request says."""

CountEngines = Callable[[], Awaitable[int]]
"""→ how many engines share the chunks of a file that is cut now."""


class AudioTools(Protocol):
    """Decodes and cuts hostile media."""

    async def cut(self, source: Path, request: CutRequest, folder: Path, on_progress: OnProgress) -> Cut:
        """Decode a window of `source`, find speech, write each chunk as `folder/<index>.wav`.

        Raises:
            AudioError: the file cannot be transcribed.
            StorageFull: no space for the chunks.
        """
        ...


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a store says of an object without giving its content."""

    key: str
    size_bytes: int
    etag: str  # changes whenever the content does
    modified_at: float  # Unix time


OnBytes = Callable[[int], None]
"""Called with the bytes done so far."""


class ObjectStore(Protocol):
    """Keeps objects under keys such as `audio/<sha256>`; an adapter maps the first part of a key to a bucket."""

    def put_file(self, key: str, source: Path, *, move: bool = False, on_bytes: OnBytes | None = None) -> None:
        """Store a file atomically; with `move` the source may be consumed instead of copied.

        An interrupted upload of a large file is gone on with by the next call for the same key and content.

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

    def list_objects(self, prefix: str) -> Iterator[ObjectFacts]:
        """What is known of each object whose key begins with `prefix`, sorted by key."""
        ...

    def facts(self, key: str) -> ObjectFacts:
        """What is known of one object. Raises ObjectMissing."""
        ...

    def copy(self, source: str, target: str, *, etag: str = "") -> None:
        """Copy an object inside the store, atomically.

        Raises:
            ObjectMissing: the source is gone, or is not the content that `etag` names.
        """
        ...

    def delete(self, key: str, *, etag: str = "") -> None:
        """Remove an object; a missing one is no error.

        With `etag` it stays, without an error, unless it is the content that `etag` names.
        """
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`, which ends with `/`."""
        ...


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to find; empty fields match everything."""

    user: str = ""
    state: JobState | None = None
    provider: str = ""
    batch_id: str = ""
    text: str = ""  # part of the file name or the job id, whatever the case
    since: float = 0.0  # created at or after, Unix time
    until: float = 0.0  # created before
    limit: int = 50

    def matches(self, record: JobRecord) -> bool:
        """Whether it is one of those jobs."""
        text = self.text.casefold()
        return (
            self.user in {"", record.user}
            and self.state in {None, record.state}
            and self.provider in {"", record.provider}
            and self.batch_id in {"", record.batch_id}
            and (text in record.name.casefold() or text in record.job_id.casefold())
            and self.since <= record.created_at
            and (not self.until or record.created_at < self.until)
        )


class JobRecords(Protocol):
    """The history of jobs, which outlives Temporal's."""

    def close(self) -> None:
        """Let go of the database."""
        ...

    def make_room(self, now: float) -> None:
        """Make room for the records of the months to come, as seen from a Unix time. Raises StorageError."""
        ...

    def save(self, record: JobRecord) -> None:
        """Insert or replace the record of `record.job_id`, unless a truer one stands there. Raises StorageError."""
        ...

    def save_attempt(self, attempt: ProviderAttempt) -> None:
        """Keep one try of a provider; the same try saved twice is kept once. Raises StorageError."""
        ...

    def attempts(self, job_id: str) -> Sequence[ProviderAttempt]:
        """The tries for a job, in the order they began."""
        ...

    def costs(self, by: str, since: float = 0.0, until: float = math.inf) -> Sequence[CostLine]:
        """What successful tries begun in a span of Unix time came to, by provider, user or month, in that order.

        A try whose job is forgotten belongs to the user "".
        """
        ...

    def calls(self, since: float) -> Sequence[CallsLine]:
        """How tries went that began at a Unix time or later, by provider; those it was left alone for do not count."""
        ...

    def get(self, job_id: str) -> JobRecord | None:
        """One record, or None."""
        ...

    def find(self, wanted: JobFilter) -> Sequence[JobRecord]:
        """Records that match, newest first, at most `wanted.limit`."""
        ...

    def older_than(self, created_before: float, limit: int) -> Sequence[JobRecord]:
        """Finished jobs created before a Unix time, oldest first."""
        ...

    def delete(self, job_ids: Sequence[str]) -> None:
        """Forget jobs and their attempts; unknown ids are no error."""
        ...


class RunningJobs(Protocol):
    """What Temporal knows of jobs, for steps that must look after jobs which others started."""

    async def state(self, job_id: str) -> JobState | None:
        """How the newest run of a job stands, or None where none is known. Raises ClusterUnreachable."""
        ...

    async def result(self, job_id: str) -> TranscribeResult:
        """Wait for a job to end. Raises the V2TError that it ended with."""
        ...

    def requests(self) -> AsyncIterator[TranscribeRequest]:
        """What every job that runs now was asked to do."""
        ...

    def batch_ids(self) -> AsyncIterator[str]:
        """Every batch that runs now."""
        ...
