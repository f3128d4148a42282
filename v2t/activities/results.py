"""What one chunk came to, and what the merge is told of it."""

from __future__ import annotations

import dataclasses

from v2t.activities.merging import Document
from v2t.domain.jobs import ChunkRequest, ChunkResult, Cut, MergeRequest, SmallRequest, choose_language


def result_key(request: ChunkRequest, provider: str) -> str:
    """Names everything that the result depends on, besides what the job id says already."""
    chunk, language = request.chunk, request.options.language or "auto"
    span = f"{chunk.start * 1000:.0f}-{chunk.end * 1000:.0f}"
    return f"{request.job_id}/chunks/{chunk.index:05d}-{span}-{provider}-{language}.json"


def chunk_result(request: ChunkRequest, key: str, document: Document, provider: str) -> ChunkResult:
    """What the workflow is told of a chunk, whose result stands under `key`."""
    return ChunkResult(
        index=request.chunk.index,
        key=key,
        language=document["language"],
        language_probability=document["language_probability"],
        speech_seconds=request.chunk.speech_seconds,
        provider=provider,
        model=request.options.model,
    )


def merge_request(request: SmallRequest, cut: Cut) -> MergeRequest:
    """The merge of a small file, before its only chunk is transcribed."""
    return MergeRequest(
        request=request.request,
        results=(),
        silences=cut.silences,
        duration_seconds=cut.duration_seconds,
        language="",
        language_probability=0.0,
        decode_seconds=cut.decode_seconds,
        started_at=request.started_at,
        warnings=cut.warnings,
    )


def with_vote(merge: MergeRequest, result: ChunkResult) -> MergeRequest:
    """The merge of a file that is a single chunk."""
    language, probability = choose_language((result,))
    return dataclasses.replace(merge, results=(result,), language=language, language_probability=probability)
