"""Doubles of the ports, shipped so that programs built on v2t can test themselves without an engine or a disk."""

from __future__ import annotations

import asyncio
import hashlib
import math
import tempfile
import threading
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from v2t.domain.errors import EngineCrashed, InputNotFound, ObjectMissing, ProviderResting, V2TError
from v2t.domain.jobs import SAMPLE_RATE, Chunk, Cut, CutRequest, JobState, Piece, TranscribeOptions, chunk_key
from v2t.domain.ports import EngineResult, JobFilter, ObjectFacts, OnBytes, OnProgress
from v2t.domain.records import CallsLine, CostLine, JobRecord, ProviderAttempt
from v2t.domain.transcript import Segment


class MemoryObjectStore:
    """An ObjectStore that forgets everything with the process."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def put_file(self, key: str, source: Path, *, move: bool = False, on_bytes: OnBytes | None = None) -> None:
        """Store a file's content. Raises InputNotFound."""
        try:
            data = source.read_bytes()
        except FileNotFoundError as error:
            raise InputNotFound(f"{source} does not exist") from error
        self.put_bytes(key, data)
        if on_bytes:
            on_bytes(len(data))
        if move:
            source.unlink()

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store a small object."""
        with self._lock:
            self._objects[key] = bytes(data), time.time()

    def get_bytes(self, key: str) -> bytes:
        """Read an object. Raises ObjectMissing."""
        return self._entry(key)[0]

    @contextmanager
    def open_file(self, key: str) -> Iterator[Path]:
        """The object as a temporary file. Raises ObjectMissing."""
        data = self.get_bytes(key)
        with tempfile.NamedTemporaryFile(suffix=Path(key).suffix) as file:
            file.write(data)
            file.flush()
            yield Path(file.name)

    def exists(self, key: str) -> bool:
        """Whether an object stands under the key."""
        return key in self._objects

    def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        return sorted(key for key in tuple(self._objects) if key.startswith(prefix))

    def list_objects(self, prefix: str) -> Iterator[ObjectFacts]:
        """What is known of each object whose key begins with `prefix`, sorted by key."""
        for key in self.list_keys(prefix):
            with suppress(ObjectMissing):  # deleted since
                yield self.facts(key)

    def facts(self, key: str) -> ObjectFacts:
        """What is known of one object. Raises ObjectMissing."""
        data, modified_at = self._entry(key)
        return ObjectFacts(key, len(data), _etag(data), modified_at)

    def copy(self, source: str, target: str, *, etag: str = "") -> None:
        """Copy an object. Raises ObjectMissing."""
        data = self.get_bytes(source)
        if etag and _etag(data) != etag:
            raise ObjectMissing(f"{source} is no longer the content that was asked for")
        self.put_bytes(target, data)

    def delete(self, key: str, *, etag: str = "") -> None:
        """Remove an object; a missing one is no error, nor one that is not the content `etag` names."""
        with self._lock, suppress(ObjectMissing):
            if not etag or self.facts(key).etag == etag:
                self._objects.pop(key, None)

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`."""
        for key in self.list_keys(prefix):
            self.delete(key)

    def _entry(self, key: str) -> tuple[bytes, float]:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectMissing(f"{key} is gone") from None


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class MemoryJobRecords:
    """JobRecords that are forgotten with the process; they keep the truer record as `SqlJobRecords.save` does."""

    def __init__(self) -> None:
        self._records: dict[str, JobRecord] = {}
        self._attempts: dict[str, dict[tuple[object, ...], ProviderAttempt]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """There is nothing to let go of."""

    def make_room(self, now: float) -> None:
        """There is always room."""

    def save(self, record: JobRecord) -> None:
        """Insert or replace, unless the record there is of a newer run or has already finished."""
        with self._lock:
            old = self._records.get(record.job_id)
            if old is None or _replaces(record, old):
                self._records[record.job_id] = record

    def save_attempt(self, attempt: ProviderAttempt) -> None:
        """Keep one try of a provider; the same try saved twice is kept once, as it was said last."""
        key = (attempt.started_at, attempt.chunk_index, attempt.attempt, attempt.provider)
        with self._lock:
            self._attempts.setdefault(attempt.job_id, {})[key] = attempt

    def attempts(self, job_id: str) -> Sequence[ProviderAttempt]:
        """The tries for a job, in the order they began."""
        with self._lock:
            tries = list(self._attempts.get(job_id, {}).values())
        return sorted(tries, key=lambda each: (each.started_at, each.chunk_index, each.attempt, each.provider))

    def costs(self, by: str, since: float = 0.0, until: float = math.inf) -> Sequence[CostLine]:
        """What successful tries came to, by provider, user or month (UTC), in that order."""
        with self._lock:
            tries = [each for some in self._attempts.values() for each in some.values() if not each.error_code]
        groups: dict[str, list[ProviderAttempt]] = {}
        for each in tries:
            if since <= each.started_at < until:
                groups.setdefault(self._key(each, by), []).append(each)
        return [
            CostLine(
                key,
                len({each.job_id for each in group}),
                sum(each.audio_seconds for each in group),
                sum(each.dollars for each in group),
            )
            for key, group in sorted(groups.items())
        ]

    def calls(self, since: float) -> Sequence[CallsLine]:
        """How tries went that began at a Unix time or later, by provider."""
        with self._lock:
            tries = [each for some in self._attempts.values() for each in some.values() if each.started_at >= since]
        groups: dict[str, list[bool]] = {}
        for each in tries:
            if each.error_code != ProviderResting.__name__:
                groups.setdefault(each.provider, []).append(not each.error_code)
        return [CallsLine(provider, len(went), sum(went)) for provider, went in sorted(groups.items())]

    def _key(self, attempt: ProviderAttempt, by: str) -> str:
        if by == "user":
            record = self._records.get(attempt.job_id)
            return record.user if record else ""
        return attempt.provider if by == "provider" else time.strftime("%Y-%m", time.gmtime(attempt.started_at))

    def get(self, job_id: str) -> JobRecord | None:
        """One record, or None."""
        return self._records.get(job_id)

    def find(self, wanted: JobFilter) -> Sequence[JobRecord]:
        """Records that match, newest first, at most `wanted.limit`."""
        found = (record for record in self._all() if wanted.matches(record))
        return sorted(found, key=lambda record: (-record.created_at, record.job_id))[: wanted.limit]

    def older_than(self, created_before: float, limit: int) -> Sequence[JobRecord]:
        """Finished jobs created before a Unix time, oldest first."""
        found = (
            record
            for record in self._all()
            if record.created_at < created_before and record.state is not JobState.RUNNING
        )
        return sorted(found, key=lambda record: (record.created_at, record.job_id))[:limit]

    def delete(self, job_ids: Sequence[str]) -> None:
        """Forget jobs and their attempts; unknown ids are no error."""
        with self._lock:
            for job_id in job_ids:
                self._records.pop(job_id, None)
                self._attempts.pop(job_id, None)

    def _all(self) -> list[JobRecord]:
        with self._lock:
            return list(self._records.values())


def _replaces(new: JobRecord, old: JobRecord) -> bool:
    if new.created_at != old.created_at:
        return new.created_at > old.created_at
    return old.state is JobState.RUNNING or new.state is not JobState.RUNNING


class FakeTranscriber:
    """A Transcriber that hears what it is told.

    Args:
        segments: what it hears in every chunk, in seconds from the chunk's start.
        language: the language it reports, with probability 1.
        failures: how many first calls fail.
        error: what they fail with.
        hangs: never answer, until the task is cancelled.
    """

    name = "fake"

    def __init__(
        self,
        segments: tuple[Segment, ...] = (),
        *,
        language: str = "en",
        failures: int = 0,
        error: V2TError | None = None,
        hangs: bool = False,
    ) -> None:
        self.chunks: list[Chunk] = []
        """Every chunk it was asked for, failed and cancelled calls included."""
        self.cancelled = 0
        """How many calls were cancelled."""
        self._segments = segments
        self._language = language
        self._failures = failures
        self._error = error or EngineCrashed()
        self._hangs = hangs

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        """Answer the given segments, whatever the audio."""
        del audio
        self.chunks.append(chunk)
        on_progress(0.0)
        if len(self.chunks) <= self._failures:
            raise self._error
        if self._hangs:
            await self._wait_for_cancel()
        on_progress(1.0)
        return EngineResult(self._segments, options.language or self._language, 1.0, 0.0)

    async def _wait_for_cancel(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class FakeAudioTools:
    """AudioTools for which every file is speech of the same length.

    Args:
        duration_seconds: how long every source is.
        chunk_seconds: the longest chunk; the last one of a window is shorter.
        last_round_at: where the chunks of the last round begin, in seconds.
    """

    def __init__(
        self, duration_seconds: float = 10.0, chunk_seconds: float = 118.0, last_round_at: float = math.inf
    ) -> None:
        self.duration_seconds = duration_seconds
        self._chunk_seconds = chunk_seconds
        self._last_round_at = last_round_at

    async def cut(self, source: Path, request: CutRequest, folder: Path, on_progress: OnProgress) -> Cut:
        """Cut the window at every `chunk_seconds` and write silent chunk files."""
        del source
        end = min(self.duration_seconds, request.start + request.window_seconds)
        chunks: list[Chunk] = []
        start = request.start
        while start < end:
            index = request.first_index + len(chunks)
            piece = Piece(start, min(self._chunk_seconds, end - start))
            _write_silence(folder / f"{index}.wav", piece.length)
            key = chunk_key(request.job_id, index)
            chunks.append(Chunk(index, key, (piece,), last_round=start >= self._last_round_at))
            start += piece.length
        on_progress(1.0)
        return Cut(
            tuple(chunks), (), end, finished=end >= self.duration_seconds, duration_seconds=self.duration_seconds
        )


def _write_silence(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(bytes(2 * round(seconds * SAMPLE_RATE)))
