"""From the results of chunks to one transcript, and from a transcript to the summary that a job answers with."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from v2t.activities.transcripts import find_transcript
from v2t.domain.coverage import spans_without_words
from v2t.domain.filters import filter_segments
from v2t.domain.jobs import Chunk, MergeRequest, Piece, TranscribeResult, archive_key
from v2t.domain.merge import merge_chunks
from v2t.domain.ports import ObjectStore
from v2t.domain.transcript import (
    DroppedSpan,
    DropReason,
    Segment,
    Timings,
    Transcript,
    from_document,
    segments_from_document,
)

_READS_AT_ONCE = 8


Document = dict[str, Any]
"""A chunk's result as it is stored: EngineResult, and the pieces of the chunk."""


def merge_results(request: MergeRequest, documents: Sequence[Document]) -> Transcript:
    """Put the chunks' results together at their true offsets, a document for each of `request.results`."""
    parts: list[tuple[Chunk, tuple[Segment, ...]]] = []
    engine_seconds = 0.0
    for result, document in zip(request.results, documents, strict=True):
        pieces = tuple(Piece(**piece) for piece in document["pieces"])
        parts.append((Chunk(result.index, result.key, pieces), segments_from_document(document["segments"])))
        engine_seconds += document["engine_seconds"]
    segments, dropped = filter_segments(merge_chunks(parts))
    dropped += [DroppedSpan(s.start, s.start + s.length, DropReason.NO_SPEECH) for s in request.silences]
    dropped += spans_without_words([chunk for chunk, _ in parts], segments, dropped)
    options = request.request.options
    return Transcript(
        duration_seconds=round(request.duration_seconds, 3),
        segments=tuple(segments),
        dropped=tuple(sorted(dropped, key=lambda span: (span.start, span.end))),
        language=request.language or None,
        language_probability=round(request.language_probability, 3) if request.language else None,
        provider=request.results[0].provider if request.results else options.provider,
        model=request.results[0].model if request.results else options.model,
        translated=options.translate,
        timings=Timings(
            decode_seconds=round(request.decode_seconds, 3),
            engine_seconds=round(engine_seconds, 3),
            total_seconds=round(time.time() - request.started_at, 3),
        ),
        warnings=request.warnings if segments else (*request.warnings, "no speech was found"),
        job_id=request.request.job_id,
        source=request.request.audio.name,
    )


def summarize(transcript: Transcript, key: str) -> TranscribeResult:
    """What a job answers with when its transcript stands under `key`."""
    return TranscribeResult(
        job_id=transcript.job_id,
        transcript_key=key,
        language=transcript.language or "",
        duration_seconds=transcript.duration_seconds,
        words=sum(len(segment.words) for segment in transcript.segments),
        provider=transcript.provider,
        model=transcript.model,
        warnings=transcript.warnings,
    )


def stored_result(store: ObjectStore, job_id: str) -> TranscribeResult | None:
    """The answer of a job whose transcript stands in the store; None where there is none, or it is damaged."""
    key = find_transcript(store, job_id)
    if not key:
        return None
    data = store.get_bytes(key)
    try:
        return summarize(from_document(json.loads(gzip.decompress(data) if key == archive_key(job_id) else data)), key)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error):
        return None


def read_results(store: ObjectStore, request: MergeRequest) -> list[Document]:
    """The stored results of the chunks, several fetched at once where there are several. Raises ObjectMissing."""
    keys = [result.key for result in request.results]
    if len(keys) < 2:
        return [json.loads(store.get_bytes(key)) for key in keys]
    with ThreadPoolExecutor(min(_READS_AT_ONCE, len(keys))) as threads:
        return [json.loads(data) for data in threads.map(store.get_bytes, keys)]
