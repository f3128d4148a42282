"""TranscribeFile: one file, cut at silence, its chunks transcribed in parallel, merged into one transcript."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from v2t.activities.transcription import TranscriptionActivities
    from v2t.domain.jobs import (
        Choice,
        Chunk,
        ChunkRequest,
        ChunkResult,
        Cut,
        CutRequest,
        FailureRequest,
        JobState,
        MergeRequest,
        Piece,
        Progress,
        ShortRequest,
        SmallRequest,
        Stage,
        TranscribeRequest,
        TranscribeResult,
        asked_of,
        choose_language,
    )
    from v2t.workflows.fallback import Chain
    from v2t.workflows.policies import (
        CHUNKS_IN_FLIGHT,
        CPU_QUEUE,
        FIRST_WINDOW_SECONDS,
        HEARTBEAT_TIMEOUT,
        HOST_QUEUE_WAIT,
        KIND_QUEUES,
        KIND_WAIT,
        QUEUE,
        RETRY,
        STEP_TIMEOUT,
        WINDOW_GROWTH,
        host_queue,
        priority_for,
        provider_queue,
    )
    from v2t.workflows.search import say_completed, say_ended
    from v2t.workflows.served import was_late, while_served

_LAST_ROUND_WAITS = "last-round-waits"

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


@workflow.defn(name="TranscribeFile")
class TranscribeFile:
    """A job. Its id is the request's job id."""

    @workflow.init
    def __init__(self, request: TranscribeRequest) -> None:
        self._request = request
        self._stage = Stage.CUTTING
        self._chunks: list[Chunk] = []
        self._silences: list[Piece] = []
        self._warnings: dict[str, None] = {}  # a set that keeps its order
        self._decode_seconds = 0.0
        self._duration_seconds = 0.0
        self._finished: dict[int, Chunk] = {}
        self._slots = asyncio.Semaphore(CHUNKS_IN_FLIGHT)
        self._engines = 0  # that share the chunks
        self._host = ""  # the machine whose disk holds the source
        self._paused = False
        self._urgency = request.priority
        self._chain = Chain()

    @workflow.run
    async def run(self, _request: TranscribeRequest) -> TranscribeResult:
        """Transcribe; on failure or cancellation write that down and fail the same way."""
        try:
            result = await self._transcribe()
        except (ActivityError, ApplicationError, asyncio.CancelledError) as error:
            await self._record_failure(error)
            raise
        say_completed(result)
        return result

    @workflow.query
    def progress(self) -> Progress:
        """How far the job is."""
        return Progress(
            stage=Stage.PAUSED if self._paused else self._stage,
            duration_seconds=self._duration_seconds,
            finished_seconds=sum(chunk.speech_seconds for chunk in self._finished.values())
            + sum(piece.length for piece in self._silences),
            chunks_finished=len(self._finished),
            chunks_known=len(self._chunks),
        )

    @workflow.query
    def request(self) -> TranscribeRequest:
        """What was asked, so that it can be asked again."""
        return self._request

    @workflow.signal
    def pause(self) -> None:
        """Begin no further step; those that run go on to their end."""
        self._paused = True

    @workflow.signal
    def resume(self) -> None:
        """Go on."""
        self._paused = False

    @workflow.signal
    def set_priority(self, priority: int) -> None:
        """Steps begun from now on have this priority, 1 to 5."""
        self._urgency = min(max(priority, 1), 5)

    async def _transcribe(self) -> TranscribeResult:
        cut = await (self._begin_small() if self._request.small else self._cut(0.0, FIRST_WINDOW_SECONDS))
        if cut.stored:  # it was small, Temporal has forgotten the run that made it, or two raced
            return cut.stored
        self._stage = Stage.TRANSCRIBING
        self._chain = Chain(cut.plan or (Choice(self._request.options.provider),), cut.failures)
        if cut.finished and len(cut.chunks) == 1:
            return await self._transcribe_short(cut.chunks[0])
        results = await self._transcribe_chunks(cut)
        language, probability = self._request.options.language, 1.0
        if not language:
            language, probability = choose_language(results)
            results = await self._redo_minority(results, language)
        self._stage = Stage.STORING
        return await workflow.execute_activity_method(
            TranscriptionActivities.merge_transcript,
            replace(self._merge_request(), results=results, language=language, language_probability=probability),
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
            priority=self._priority(),
        )

    async def _begin_small(self) -> Cut:
        """All of a small file that is a single chunk, the first window of any other."""
        self._stage = Stage.TRANSCRIBING
        request = SmallRequest(self._request, workflow.info().start_time.timestamp())
        cut = await self._compute(TranscriptionActivities.transcribe_small, request)
        return cut if cut.stored else self._noted(cut)

    async def _cut(self, start: float, window: float) -> Cut:
        await self._while_paused()
        plan_for = None if start else self._request
        request = CutRequest(
            self._request.audio, self._request.job_id, start, window, len(self._chunks), plan_for, self._engines
        )
        return self._noted(await self._cut_on_host(request) or await self._cut_at(request, QUEUE))

    def _noted(self, cut: Cut) -> Cut:
        task = asyncio.current_task()
        if task and task.cancelling():  # the cut was finished before it heard that the job is cancelled
            raise asyncio.CancelledError
        self._engines = cut.engines
        self._host = cut.host
        self._chunks.extend(cut.chunks)
        self._silences.extend(cut.silences)
        self._warnings.update(dict.fromkeys(cut.warnings))
        self._decode_seconds += cut.decode_seconds
        self._duration_seconds = max(self._duration_seconds, cut.duration_seconds)
        return cut

    async def _cut_on_host(self, request: CutRequest) -> Cut | None:
        """Cut where the source is on disk; None where that machine is not known, or nobody answers there."""
        if not self._host:
            return None
        try:
            return await self._cut_at(request, host_queue(self._host), HOST_QUEUE_WAIT)
        except ActivityError as error:
            if was_late(error):
                return None
            raise

    async def _cut_at(self, request: CutRequest, queue: str, patience: timedelta | None = None) -> Cut:
        return await workflow.execute_activity_method(
            TranscriptionActivities.cut_audio,
            request,
            task_queue=queue,
            schedule_to_start_timeout=patience,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            priority=self._priority(),
        )

    async def _transcribe_short(self, chunk: Chunk) -> TranscribeResult:
        async def ask(choice: Choice, tries: int) -> TranscribeResult:
            request = ShortRequest(chunk, self._merge_request(), asked_of(self._request.options, choice), tries)
            return await self._compute(TranscriptionActivities.transcribe_short, request, choice, tries)

        return await self._chain.ask(ask)

    async def _transcribe_chunks(self, cut: Cut) -> tuple[ChunkResult, ...]:
        """Transcribe each chunk while the rest of the file is still being cut."""
        window = FIRST_WINDOW_SECONDS
        tasks = [
            asyncio.create_task(self._transcribe_chunk(chunk, self._request.options.language)) for chunk in cut.chunks
        ]
        try:
            while not cut.finished:
                window *= WINDOW_GROWTH
                cut = await self._cut(cut.next_start, window)
                for task in tasks:
                    if task.done():
                        task.result()  # a chunk that failed for good ends the job now, not after the last window
                tasks += [
                    asyncio.create_task(self._transcribe_chunk(chunk, self._request.options.language))
                    for chunk in cut.chunks
                ]
            return tuple(await asyncio.gather(*tasks))
        except (Exception, asyncio.CancelledError):  # not GeneratorExit: an evicted workflow may not wait
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _transcribe_chunk(self, chunk: Chunk, language: str) -> ChunkResult:
        await self._until_its_round(chunk)
        async with self._slots:
            options = replace(self._request.options, language=language)

            async def ask(choice: Choice, tries: int) -> ChunkResult:
                request = ChunkRequest(self._request.job_id, chunk, asked_of(options, choice), tries)
                return await self._compute(TranscriptionActivities.transcribe_chunk, request, choice, tries)

            result = await self._chain.ask(ask)
        self._finished[chunk.index] = chunk
        return result

    async def _until_its_round(self, chunk: Chunk) -> None:
        """Return when engines have the longer chunks: a queue keeps no order among steps that it gets together.

        When one of them is finished they have all been queued for long.
        """
        waits = chunk.last_round and not self._chunks[0].last_round  # else there is none to wait for
        if waits and workflow.patched(_LAST_ROUND_WAITS):  # runs of before begin all together
            await workflow.wait_condition(lambda: bool(self._finished))

    async def _redo_minority(self, results: tuple[ChunkResult, ...], language: str) -> tuple[ChunkResult, ...]:
        """Transcribe again, in the language that won the vote, the chunks that took it for another one."""
        chunks = {chunk.index: chunk for chunk in self._chunks}
        wrong = [result.index for result in results if result.language != language]
        redone = await asyncio.gather(*(self._transcribe_chunk(chunks[index], language) for index in wrong))
        better = {result.index: result for result in redone}
        return tuple(better.get(result.index, result) for result in results)

    async def _compute(
        self,
        step: Callable[[TranscriptionActivities, _Request], Awaitable[_Answer]],
        request: _Request,
        choice: Choice | None = None,
        tries: int = 0,
    ) -> _Answer:
        """Run a step that needs a provider, once the job is not paused."""
        await self._while_paused()
        workers = choice.workers if choice else ""
        queue = KIND_QUEUES.get(workers) or self._request.queue or CPU_QUEUE
        if choice and choice.own_queue:
            queue = provider_queue(choice.provider, workers)

        async def attempt(patience: timedelta | None) -> _Answer:
            return await workflow.execute_activity_method(
                step,
                request,
                task_queue=queue,
                schedule_to_start_timeout=patience,
                start_to_close_timeout=STEP_TIMEOUT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RETRY,
                priority=self._priority(),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )

        if choice and choice.own_queue and tries:
            return await while_served(queue, attempt, self._priority())
        return await attempt(KIND_WAIT if workers and tries else None)

    async def _while_paused(self) -> None:
        while self._paused:  # asked first: waiting, even for nothing, would change the order of steps in old histories
            await workflow.wait_condition(lambda: not self._paused)

    def _priority(self) -> Priority:
        return priority_for(self._request.user, self._urgency)

    def _merge_request(self) -> MergeRequest:
        return MergeRequest(
            request=self._request,
            results=(),
            silences=tuple(self._silences),
            duration_seconds=self._duration_seconds,
            language="",
            language_probability=0.0,
            decode_seconds=self._decode_seconds,
            started_at=workflow.info().start_time.timestamp(),
            warnings=(*self._warnings, *map(str, self._chain.failures)),
        )

    async def _record_failure(self, error: BaseException) -> None:
        cancelled = is_cancelled_exception(error)
        cause = error.cause if isinstance(error, ActivityError) else None
        known = next((each for each in (error, cause) if isinstance(each, ApplicationError)), None)
        request = FailureRequest(
            request=self._request,
            state=JobState.CANCELLED if cancelled else JobState.FAILED,
            error_code="JobCancelled" if cancelled else (known.type or "JobFailed") if known else "JobFailed",
            error_message="" if cancelled else known.message if known else str(cause or error),
            started_at=workflow.info().start_time.timestamp(),
        )
        await workflow.execute_activity_method(
            TranscriptionActivities.record_failure,
            request,
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
            priority=self._priority(),
        )
        say_ended(self._request, request.state, self._duration_seconds)
