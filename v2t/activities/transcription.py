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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from temporalio import activity

from v2t.activities.attempts import AttemptLog, observe_nothing
from v2t.activities.merging import Document, merge_results, read_results, stored_result, summarize
from v2t.activities.objects import opened, put_files
from v2t.activities.results import chunk_result, merge_request, result_key, with_vote
from v2t.activities.steps import TRIES, Report, is_last_try, on_the_disk_of, step
from v2t.domain.errors import EngineEmptyResult, V2TError, may_be_the_providers
from v2t.domain.jobs import (
    AUTO,
    LOCAL,
    Choice,
    ChunkRequest,
    ChunkResult,
    Cut,
    CutRequest,
    Failure,
    FailureRequest,
    JobState,
    MergeRequest,
    ShortRequest,
    SmallRequest,
    TranscribeRequest,
    TranscribeResult,
    asked_of,
    transcript_key,
)
from v2t.domain.ports import (
    AudioTools,
    ChooseProviders,
    EngineResult,
    JobRecords,
    ObjectStore,
    OnAttempt,
    OnProgress,
    Transcriber,
)
from v2t.domain.records import JobRecord
from v2t.domain.transcript import to_document


async def choose_as_requested(
    request: TranscribeRequest, _seconds: float, _beginning: Path | None
) -> tuple[Choice, ...]:
    """The default of ChooseProviders."""
    return (Choice(LOCAL),) if request.options.provider == AUTO else ()


class TranscriptionActivities:
    """The activities of TranscribeFile.

    Args:
        store: where sources, chunks and transcripts are.
        records: where finished jobs are written down.
        audio_tools: decodes and cuts.
        open_transcriber: provider name → Transcriber, on this machine.
        scratch: folder for files on their way into the store; on the store's file system if that is local.
        host: the machine, whose own queue the rest of a file it began to cut is sent to; empty: it has none.
        observe: measures each try of a provider.
        choose: whom to ask for a file.
    """

    def __init__(
        self,
        store: ObjectStore,
        records: JobRecords,
        audio_tools: AudioTools,
        open_transcriber: Callable[[str], Transcriber],
        scratch: Path,
        *,
        host: str = "",
        observe: OnAttempt = observe_nothing,
        choose: ChooseProviders = choose_as_requested,
    ) -> None:
        self._store = store
        self._records = records
        self._audio_tools = audio_tools
        self._open_transcriber = open_transcriber
        self._scratch = scratch
        self._host = host
        self._choose = choose
        self._attempts = AttemptLog(records, observe, host)

    @activity.defn
    async def cut_audio(self, request: CutRequest) -> Cut:
        """Cut a window of the source into chunk objects; the first one finds the transcript of an earlier run."""
        async with step() as report:
            if not request.start and (stored := await self._stored_cut(request.job_id)):
                return stored
            with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
                cut = await self._cut(request, Path(folder), report)
                if request.plan_for:
                    cut = await self._with_plan(cut, request.plan_for, Path(folder))
                await self._put_chunks(cut, Path(folder))
        return cut

    @activity.defn
    async def transcribe_small(self, request: SmallRequest) -> Cut:
        """Cut a small file's first window; where that is all of it, in a single chunk, finish the job as well.

        Where the provider to ask first has workers or a queue of its own, or has failed and there is another one, that
        is left to do.
        """
        job = request.request
        async with step() as report:
            # An attempt before this one may have stored the transcript and then failed to record the job.
            if activity.info().attempt == 1 and (stored := await self._stored_cut(job.job_id)):
                return stored
            with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
                cut = await self._cut(CutRequest(job.audio, job.job_id), Path(folder), lambda _seconds: None)
                cut = await self._with_plan(cut, job, Path(folder))
                if cut.finished and len(cut.chunks) == 1 and _is_here(cut):
                    cut = await self._finish_small(request, cut, report, Path(folder))
                if not cut.stored:
                    await self._put_chunks(cut, Path(folder))
        return cut

    @activity.defn
    async def transcribe_chunk(self, request: ChunkRequest) -> ChunkResult:
        """Transcribe one chunk and store its result; a result that is there already is used."""
        async with step(request.tries) as report:
            return await self._transcribe_chunk(request, report)

    @activity.defn
    async def transcribe_short(self, request: ShortRequest) -> TranscribeResult:
        """Transcribe a file that is a single chunk, and merge it."""
        async with step(request.tries) as report, self._opened_here(request.chunk.key) as audio:
            return await self._finish(request, report, audio, in_store=True)

    @activity.defn
    async def merge_transcript(self, request: MergeRequest) -> TranscribeResult:
        """Merge the chunks' results into the transcript, store it, record the job."""
        async with step():
            return await asyncio.to_thread(self._merge, request)

    @activity.defn
    async def record_failure(self, request: FailureRequest) -> None:
        """Write down that a job failed or was cancelled, and drop its decoded audio."""
        async with step():
            await asyncio.to_thread(self._record_failure, request)

    async def _stored_cut(self, job_id: str) -> Cut | None:
        """What an earlier run has left to do where it left the transcript: nothing."""
        stored = await asyncio.to_thread(stored_result, self._store, job_id)
        return Cut((), (), 0.0, finished=True, host=self._host, stored=stored) if stored else None

    async def _cut(self, request: CutRequest, folder: Path, on_progress: OnProgress) -> Cut:
        async with self._opened_here(request.audio.key) as source:
            cut = await self._audio_tools.cut(source, request, folder, on_progress)
        return dataclasses.replace(cut, host=self._host)

    async def _with_plan(self, cut: Cut, request: TranscribeRequest, folder: Path) -> Cut:
        beginning = folder / f"{cut.chunks[0].index}.wav" if cut.chunks else None
        return dataclasses.replace(cut, plan=await self._choose(request, cut.duration_seconds, beginning))

    async def _finish_small(self, request: SmallRequest, cut: Cut, report: Report, folder: Path) -> Cut:
        """The cut with what came of the first provider of its plan: the transcript, or its failure for good."""
        first, others = (cut.plan[0], cut.plan[1:]) if cut.plan else (None, ())
        options = asked_of(request.request.options, first) if first else None
        chunk = cut.chunks[0]
        report.total = chunk.speech_seconds
        short = ShortRequest(chunk, merge_request(request, cut), options)
        try:
            result = await self._finish(short, report, folder / f"{chunk.index}.wav", in_store=False)
        except V2TError as error:
            is_over = not error.retryable or is_last_try(error, TRIES)
            if not (first and others and is_over and may_be_the_providers(error.code)):
                raise
            seconds = time.time() - activity.info().scheduled_time.timestamp()
            failure = Failure(first.provider, error.code, error.message, seconds)
            return dataclasses.replace(cut, plan=others, failures=(failure,))
        return dataclasses.replace(cut, stored=result)

    async def _put_chunks(self, cut: Cut, folder: Path) -> None:
        await put_files(self._store, {chunk.key: folder / f"{chunk.index}.wav" for chunk in cut.chunks})

    async def _finish(
        self, short: ShortRequest, report: Callable[[float], None], audio: Path, *, in_store: bool
    ) -> TranscribeResult:
        """Transcribe the only chunk of a file, and merge it; its result is stored only for another attempt.

        Args:
            short: the chunk, and what is known of the file.
            report: told the seconds done.
            audio: the chunk's audio on this machine.
            in_store: whether that is in the store too.
        """
        request = ChunkRequest(short.merge.request.job_id, short.chunk, short.options or short.merge.request.options)
        transcriber = self._open_transcriber(request.options.provider)
        key = result_key(request, transcriber.name)
        stored = await self._stored(key)
        document = stored or await self._hear(transcriber, request, report, audio)
        merge = with_vote(short.merge, chunk_result(request, key, document, transcriber.name))
        try:
            return await asyncio.to_thread(self._merge, merge, [document], clean=in_store or stored is not None)
        except V2TError:
            with suppress(V2TError):
                await self._keep(key, document)
            raise

    async def _transcribe_chunk(self, request: ChunkRequest, report: Callable[[float], None]) -> ChunkResult:
        transcriber = self._open_transcriber(request.options.provider)
        key = result_key(request, transcriber.name)
        document = await self._stored(key)
        if document is None:
            async with self._opened_here(request.chunk.key) as audio:
                document = await self._hear(transcriber, request, report, audio)
            await self._keep(key, document)
        return chunk_result(request, key, document, transcriber.name)

    async def _stored(self, key: str) -> Document | None:
        if not await asyncio.to_thread(self._store.exists, key):
            return None
        stored: Document = json.loads(await asyncio.to_thread(self._store.get_bytes, key))
        return stored

    async def _keep(self, key: str, document: Document) -> None:
        await asyncio.to_thread(self._store.put_bytes, key, json.dumps(document).encode())

    @asynccontextmanager
    async def _opened_here(self, key: str) -> AsyncIterator[Path]:
        """The object as a file on this machine."""
        async with on_the_disk_of(self._host), opened(self._store, key) as path:
            yield path

    async def _hear(
        self, transcriber: Transcriber, request: ChunkRequest, report: Callable[[float], None], audio: Path
    ) -> Document:
        """What the provider hears in the chunk, as it is stored."""
        seconds = request.chunk.speech_seconds
        heard = await self._ask(transcriber, audio, request, lambda fraction: report(fraction * seconds))
        return {**dataclasses.asdict(heard), "pieces": [dataclasses.asdict(piece) for piece in request.chunk.pieces]}

    async def _ask(
        self, transcriber: Transcriber, audio: Path, request: ChunkRequest, on_progress: OnProgress
    ) -> EngineResult:
        try:
            async with self._attempts.attempt(request, transcriber):
                return await transcriber.transcribe(audio, request.chunk, request.options, on_progress)
        except EngineEmptyResult:
            # Native engines under load can return nothing; twice nothing means there is nothing.
            if activity.info().attempt == 1:
                raise
            return EngineResult((), request.options.language, 0.0, 0.0)

    def _merge(
        self, request: MergeRequest, documents: Sequence[Document] = (), *, clean: bool = True
    ) -> TranscribeResult:
        transcript = merge_results(request, documents or read_results(self._store, request))
        key = transcript_key(request.request.job_id)
        self._store.put_bytes(key, json.dumps(to_document(transcript), ensure_ascii=False).encode())
        result = summarize(transcript, key)
        record = dataclasses.replace(
            _record(request.request, JobState.COMPLETED, request.started_at, time.time()),
            provider=result.provider,
            language=result.language,
            audio_seconds=result.duration_seconds,
            words=result.words,
            transcript_key=key,
            engine_seconds=transcript.timings.engine_seconds,
        )
        self._records.save(record)
        if clean:
            self._store.delete_prefix(f"{request.request.job_id}/chunks/")
        return result

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


def _is_here(cut: Cut) -> bool:
    """Whether whoever cut a file may ask the first provider of its plan at once."""
    return not cut.plan or not (cut.plan[0].workers or cut.plan[0].own_queue)


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
        batch_id=request.batch_id,
        tags=request.tags,
    )
