"""What the workflow does to one file: cut it, transcribe its chunks, merge them, record how it ended.

Every activity may run again after a crash: objects are written under keys that follow from their
content, so a second run finds the first one's work or replaces it by the same.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio import activity

from v2t.domain.coverage import spans_without_words
from v2t.domain.errors import EngineEmptyResult
from v2t.domain.filters import filter_segments
from v2t.domain.jobs import (
    Chunk,
    ChunkRequest,
    ChunkResult,
    Cut,
    CutRequest,
    FailureRequest,
    JobRecord,
    JobState,
    MergeRequest,
    Piece,
    ShortRequest,
    TranscribeRequest,
    TranscribeResult,
    choose_language,
    transcript_key,
)
from v2t.domain.merge import merge_chunks
from v2t.domain.ports import AudioTools, EngineResult, JobRecords, ObjectStore, Transcriber
from v2t.domain.transcript import (
    DroppedSpan,
    DropReason,
    Segment,
    Timings,
    Transcript,
    segments_from_document,
    to_document,
)

_BEAT_SECONDS = 1.0
"""A heartbeat carries news of cancellation back: this often keeps it below the promised 2 seconds."""


class TranscriptionActivities:
    """The activities of TranscribeFile.

    Args:
        store: where sources, chunks and transcripts are.
        records: where finished jobs are written down.
        audio_tools: decodes and cuts.
        open_transcriber: provider name → Transcriber, on this machine.
        scratch: folder for files on their way into the store; on the store's file system if that is local.
    """

    def __init__(
        self,
        store: ObjectStore,
        records: JobRecords,
        audio_tools: AudioTools,
        open_transcriber: Callable[[str], Transcriber],
        scratch: Path,
    ) -> None:
        self._store = store
        self._records = records
        self._audio_tools = audio_tools
        self._open_transcriber = open_transcriber
        self._scratch = scratch

    @activity.defn
    async def cut_audio(self, request: CutRequest) -> Cut:
        """Cut a window of the source into chunk objects."""
        async with _heartbeat() as report, _opened(self._store, request.audio.key) as source:
            with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
                cut = await self._audio_tools.cut(source, request, Path(folder), report)
                for chunk in cut.chunks:
                    await asyncio.to_thread(
                        self._store.put_file, chunk.key, Path(folder) / f"{chunk.index}.wav", move=True
                    )
        return cut

    @activity.defn
    async def transcribe_chunk(self, request: ChunkRequest) -> ChunkResult:
        """Transcribe one chunk and store its result; a result that is there already is used."""
        async with _heartbeat() as report:
            return await self._transcribe_chunk(request, report)

    @activity.defn
    async def transcribe_short(self, request: ShortRequest) -> TranscribeResult:
        """Transcribe a file that is a single chunk, and merge it."""
        merge = request.merge
        async with _heartbeat() as report:
            chunk_request = ChunkRequest(merge.request.job_id, request.chunk, merge.request.options)
            result = await self._transcribe_chunk(chunk_request, report)
            return await asyncio.to_thread(self._merge, _with_vote(merge, result))

    @activity.defn
    async def merge_transcript(self, request: MergeRequest) -> TranscribeResult:
        """Merge the chunks' results into the transcript, store it, record the job."""
        async with _heartbeat():
            return await asyncio.to_thread(self._merge, request)

    @activity.defn
    async def record_failure(self, request: FailureRequest) -> None:
        """Write down that a job failed or was cancelled, and drop its decoded audio."""
        await asyncio.to_thread(self._record_failure, request)

    async def _transcribe_chunk(self, request: ChunkRequest, report: Callable[[float], None]) -> ChunkResult:
        transcriber = self._open_transcriber(request.options.provider)
        key = _result_key(request, transcriber.name)
        if not await asyncio.to_thread(self._store.exists, key):
            async with _opened(self._store, request.chunk.key) as audio:
                seconds = request.chunk.speech_seconds
                heard = await self._hear(transcriber, audio, request, lambda fraction: report(fraction * seconds))
            document = {**dataclasses.asdict(heard), "pieces": [dataclasses.asdict(p) for p in request.chunk.pieces]}
            await asyncio.to_thread(self._store.put_bytes, key, json.dumps(document).encode())
        stored = json.loads(await asyncio.to_thread(self._store.get_bytes, key))
        return ChunkResult(
            index=request.chunk.index,
            key=key,
            language=stored["language"],
            language_probability=stored["language_probability"],
            speech_seconds=request.chunk.speech_seconds,
            provider=transcriber.name,
            model=request.options.model,
        )

    async def _hear(
        self, transcriber: Transcriber, audio: Path, request: ChunkRequest, report: Callable[[float], None]
    ) -> EngineResult:
        try:
            return await transcriber.transcribe(audio, request.chunk, request.options, report)
        except EngineEmptyResult:
            # Native engines under load can return nothing; twice nothing means there is nothing.
            if activity.info().attempt == 1:
                raise
            return EngineResult((), request.options.language, 0.0, 0.0)

    def _merge(self, request: MergeRequest) -> TranscribeResult:
        parts: list[tuple[Chunk, tuple[Segment, ...]]] = []
        engine_seconds = 0.0
        for result in request.results:
            document = json.loads(self._store.get_bytes(result.key))
            pieces = tuple(Piece(**piece) for piece in document["pieces"])
            parts.append((Chunk(result.index, result.key, pieces), segments_from_document(document["segments"])))
            engine_seconds += document["engine_seconds"]
        segments, dropped = filter_segments(merge_chunks(parts))
        dropped += [DroppedSpan(s.start, s.start + s.length, DropReason.NO_SPEECH) for s in request.silences]
        dropped += spans_without_words([chunk for chunk, _ in parts], segments, dropped)
        finished_at = time.time()
        transcript = Transcript(
            duration_seconds=round(request.duration_seconds, 3),
            segments=tuple(segments),
            dropped=tuple(sorted(dropped, key=lambda span: (span.start, span.end))),
            language=request.language or None,
            language_probability=round(request.language_probability, 3) if request.language else None,
            provider=request.results[0].provider if request.results else request.request.options.provider,
            model=request.request.options.model,
            translated=request.request.options.translate,
            timings=Timings(
                decode_seconds=round(request.decode_seconds, 3),
                engine_seconds=round(engine_seconds, 3),
                total_seconds=round(finished_at - request.started_at, 3),
            ),
            warnings=request.warnings if segments else (*request.warnings, "no speech was found"),
            job_id=request.request.job_id,
            source=request.request.audio.name,
        )
        return self._finish(request.request, transcript, request.started_at, finished_at)

    def _finish(
        self, request: TranscribeRequest, transcript: Transcript, started_at: float, finished_at: float
    ) -> TranscribeResult:
        document = json.dumps(to_document(transcript), ensure_ascii=False)
        self._store.put_bytes(transcript_key(request.job_id), document.encode())
        words = sum(len(segment.words) for segment in transcript.segments)
        record = dataclasses.replace(
            _record(request, JobState.COMPLETED, started_at, finished_at),
            provider=transcript.provider,
            language=transcript.language or "",
            audio_seconds=transcript.duration_seconds,
            words=words,
            transcript_key=transcript_key(request.job_id),
        )
        self._records.save(record)
        self._store.delete_prefix(f"{request.job_id}/chunks/")
        return TranscribeResult(
            job_id=request.job_id,
            transcript_key=transcript_key(request.job_id),
            language=transcript.language or "",
            duration_seconds=transcript.duration_seconds,
            words=words,
            provider=transcript.provider,
            model=transcript.model,
            warnings=transcript.warnings,
        )

    def _record_failure(self, request: FailureRequest) -> None:
        record = dataclasses.replace(
            _record(request.request, request.state, request.started_at, time.time()),
            error_code=request.error_code,
            error_message=request.error_message,
        )
        self._records.save(record)
        for key in self._store.list_keys(f"{request.request.job_id}/chunks/"):
            if key.endswith(".wav"):  # the results beside them stay: a retry goes on from there
                self._store.delete(key)


@asynccontextmanager
async def _opened(store: ObjectStore, key: str) -> AsyncIterator[Path]:
    """The object as a local file. It may have to be fetched, or another process waited for: heartbeats go on."""
    file = store.open_file(key)
    path = await asyncio.to_thread(file.__enter__)
    try:
        yield path
    finally:
        file.__exit__(None, None, None)


@asynccontextmanager
async def _heartbeat() -> AsyncIterator[Callable[[float], None]]:
    """Heartbeat while the body runs; its detail is the last number reported: for chunks, seconds of audio done."""
    done = 0.0

    def report(value: float) -> None:
        nonlocal done
        done = value

    async def beat() -> None:
        while True:
            activity.heartbeat(done)
            await asyncio.sleep(_BEAT_SECONDS)

    task = asyncio.get_running_loop().create_task(beat())
    try:
        yield report
    finally:
        task.cancel()


def _result_key(request: ChunkRequest, provider: str) -> str:
    """Names everything that the result depends on, besides what the job id says already."""
    chunk, language = request.chunk, request.options.language or "auto"
    span = f"{chunk.start * 1000:.0f}-{chunk.end * 1000:.0f}"
    return f"{request.job_id}/chunks/{chunk.index:05d}-{span}-{provider}-{language}.json"


def _with_vote(merge: MergeRequest, result: ChunkResult) -> MergeRequest:
    language, probability = choose_language((result,))
    return dataclasses.replace(merge, results=(result,), language=language, language_probability=probability)


def _record(request: TranscribeRequest, state: JobState, started_at: float, finished_at: float) -> JobRecord:
    return JobRecord(
        job_id=request.job_id,
        user=request.user,
        name=request.audio.name,
        sha256=request.audio.sha256,
        size_bytes=request.audio.size_bytes,
        state=state,
        provider=request.options.provider,
        model=request.options.model,
        language=request.options.language,
        created_at=started_at,
        finished_at=finished_at,
    )
