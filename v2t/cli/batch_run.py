"""One batch of the command line, from its sources to its report."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2t.cli.interruption import run_interruptible
from v2t.cli.output import Result, as_table, counted, download_bar, say
from v2t.domain.errors import JobFailed, UsageError, V2TError
from v2t.domain.jobs import JobState

if TYPE_CHECKING:
    from v2t.cli.outputs import Outputs
    from v2t.config import Settings
    from v2t.domain.batches import FileOutcome
    from v2t.domain.ports import ObjectStore
    from v2t.domain.subtitles import SubtitleLimits
    from v2t.gathering.batch import Gathering, Plan
    from v2t.gathering.finding import Recording
    from v2t.standalone import Cluster

_FAILURES_SHOWN = 50


@dataclass(slots=True)
class Outcome:
    """How one file of a batch ended, and which files were written for it."""

    recording: Recording
    outcome: FileOutcome
    written: tuple[Path, ...] = ()

    @property
    def is_completed(self) -> bool:
        """Whether it has a transcript."""
        return self.outcome.state == JobState.COMPLETED


@dataclass(slots=True)
class Found:
    """What the sources of a command hold, before any of it is read."""

    recordings: list[Recording]
    prefixes: list[str]
    failures: list[tuple[str, V2TError]]
    skipped: int = 0


class Batch:
    """One batch, from its sources to its report.

    Args:
        settings: which cluster.
        plan: how the files are to be transcribed.
        outputs: what is written for them.
        limits: of subtitles.
        wait: follow it to its end.
        quiet: say nothing on the way.
    """

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        outputs: Outputs,
        limits: SubtitleLimits,
        *,
        wait: bool = True,
        quiet: bool = False,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._outputs = outputs
        self._limits = limits
        self._wait = wait
        self._quiet = quiet
        self._batch_id = ""

    def find(self, sources: tuple[str, ...], *, recursive: bool, skip_existing: bool) -> Found:
        """Search the sources. Raises UsageError where there is nothing to do."""
        from v2t.gathering.buckets import BUCKET_SCHEME, bucket_prefix
        from v2t.gathering.finding import find_recordings

        buckets = [source for source in sources if source.startswith(BUCKET_SCHEME)]
        if buckets and self._outputs.beside:
            raise UsageError("--beside is for local files; use --output FOLDER with s3://.")
        prefixes = [bucket_prefix(self._settings, address) for address in buckets]
        finding = find_recordings([source for source in sources if source not in buckets], recursive=recursive)
        self._outputs.refuse_shared_targets(finding.recordings)
        missing = self._outputs.missing(finding.recordings) if skip_existing else finding.recordings
        found = Found(missing, prefixes, finding.failures, len(finding.recordings) - len(missing))
        self._say(f"{counted(len(finding.recordings), 'recording')} found", found.skipped, finding.ignored)
        if not (finding.recordings or prefixes or finding.failures):
            others = f" among {counted(finding.ignored, 'other file')}" if finding.ignored else ""
            hint = "" if recursive else "; --recursive searches the folders below too"
            raise UsageError(f"There are no recordings in {', '.join(sources)}{others}{hint}.")
        return found

    def _say(self, words: str, skipped: int, ignored: int) -> None:
        if not self._quiet:
            more = [f"{skipped} skipped: their output exists"] if skipped else []
            more += [f"{counted(ignored, 'other file')} ignored"] if ignored else []
            say(", ".join([words, *more]))

    def run(self, found: Found) -> Result:
        """Bring it to its end, and report."""
        if not found.recordings and not found.prefixes:
            return self._report([], found.failures)
        options = self._plan.options
        if not self._settings.is_cluster:
            from v2t.cli.transcribe import prepare_embedded

            prepare_embedded(self._settings, options, keep=not self._wait)
        try:
            gathering = run_interruptible(self._start(found))
            if not gathering.items:
                return self._report([], [*found.failures, *gathering.failures])
            if not self._wait:
                return self._accepted(gathering, [*found.failures, *gathering.failures])
            outcomes = self._outcomes(gathering)
        except KeyboardInterrupt:
            if self._batch_id:
                say(farewell(self._settings, self._batch_id))
            raise
        return self._report(outcomes, [*found.failures, *gathering.failures])

    async def _start(self, found: Found) -> Gathering:
        """Gather, submit and, where that is wanted, follow."""
        from v2t import deployment

        options = self._plan.options
        async with deployment.open_cluster(
            self._settings, provider=options.provider, model=options.model, work=self._wait, busy=True
        ) as cluster:
            gathering = await self._gather(cluster, found)
            if gathering.items:
                await self._submit(cluster, gathering)
        return gathering

    async def transcribe(self, cluster: Cluster, found: Found, *, only: Collection[str]) -> list[Outcome]:
        """Bring the objects with these keys to their end on an open cluster."""
        gathering = await self._gather(cluster, found)
        gathering.keep(only)
        if not gathering.items:
            return []
        await self._submit(cluster, gathering)
        return await asyncio.to_thread(self._outcomes, gathering)

    async def _submit(self, cluster: Cluster, gathering: Gathering) -> None:
        from v2t.cli.batch_progress import open_batch_display
        from v2t.gathering.batch import follow, submit

        self._batch_id = await submit(self._settings, cluster, gathering, self._plan)
        if not self._quiet:
            say(f"batch {self._batch_id}: {counted(len(gathering.items), 'file')} of different content")
        if self._wait:
            with open_batch_display(len(gathering.items), quiet=self._quiet) as update:
                await follow(self._settings, self._plan.options, cluster, self._batch_id, on_view=update)

    async def _gather(self, cluster: Cluster, found: Found) -> Gathering:
        from v2t.gathering.batch import gather
        from v2t.gathering.buckets import gather_objects

        is_silent = self._quiet or not found.recordings
        bar = nullcontext(lambda _done, _total: None) if is_silent else download_bar("reading and uploading")
        with bar as on_bytes:
            gathering = await gather(cluster.store, found.recordings, self._plan, on_bytes=on_bytes)
        for prefix in found.prefixes:
            more, ignored = await asyncio.to_thread(gather_objects, cluster.store, prefix, self._plan)
            self._say(f"{counted(len(more.items), 'recording')} found below {prefix}", 0, ignored)
            gathering.join(more)
        return gathering

    def _outcomes(self, gathering: Gathering) -> list[Outcome]:
        """How each file did; writes what was asked for."""
        from v2t import wiring
        from v2t.gathering.batch import outcomes_of

        store = wiring.open_store(self._settings)
        return [
            self._finish(store, recording, outcome)
            for recording, outcome in outcomes_of(store, gathering, self._batch_id)
        ]

    def _finish(self, store: ObjectStore, recording: Recording, outcome: FileOutcome) -> Outcome:
        from v2t.submission import stored_transcript

        if not self._outputs.are_wanted or outcome.state != JobState.COMPLETED:
            return Outcome(recording, outcome)
        try:
            transcript = stored_transcript(store, outcome.job_id)
            return Outcome(recording, outcome, self._outputs.write(recording, transcript, self._limits))
        except V2TError as error:
            return Outcome(recording, as_failure(outcome, error))

    def _accepted(self, gathering: Gathering, failures: list[tuple[str, V2TError]]) -> Result:
        data = {"batch_id": self._batch_id, "files": len(gathering.items), "unread": _as_data(failures)}
        return Result(data=data, lines=[self._batch_id], errors=tuple(error for _, error in failures))

    def _report(self, outcomes: list[Outcome], failures: list[tuple[str, V2TError]]) -> Result:
        completed = [item for item in outcomes if item.is_completed]
        rows = [(item.recording.name, item.outcome.state.value, item.outcome.error_message) for item in outcomes]
        bad = [row for row in rows if row[1] != JobState.COMPLETED] + [
            (name, "failed", error.message) for name, error in failures
        ]
        lines = failure_lines(bad)
        total = len(outcomes) + len(failures)
        audio = sum(item.outcome.audio_seconds for item in completed)
        lines.append(f"{counted(total, 'file')}: {len(completed)} completed, {len(bad)} not; {audio:.0f} s of audio")
        if self._outputs.folder and completed:
            lines.append(f"transcripts are in {self._outputs.folder}")
        data = {
            "batch_id": self._batch_id,
            "files": [self._file(item) for item in outcomes],
            "unread": _as_data(failures),
            "completed": len(completed),
            "failed": len(bad),
            "audio_seconds": audio,
        }
        errors = (JobFailed(f"{len(bad)} of {counted(total, 'file')} got no transcript."),) if bad else ()
        return Result(data=data, lines=lines, errors=errors)

    def _file(self, item: Outcome) -> dict[str, Any]:
        return {
            **asdict(item.outcome),
            "name": item.recording.name,
            "file": str(item.recording.path),
            "written": [str(path) for path in item.written],
        }


def as_failure(outcome: FileOutcome, error: V2TError) -> FileOutcome:
    """The outcome of a file whose transcript could not be had or written."""
    return replace(outcome, state=JobState.FAILED, error_code=error.code, error_message=error.message)


def failure_lines(rows: list[tuple[str, str, str]]) -> list[str]:
    """A table of the files that have no transcript, not endless."""
    if not rows:
        return []
    lines = as_table(("FILE", "STATE", "WHY"), rows[:_FAILURES_SHOWN])
    if len(rows) > _FAILURES_SHOWN:
        lines.append(f"and {len(rows) - _FAILURES_SHOWN} more; `--json` has them all")
    return lines


def farewell(settings: Settings, batch_id: str) -> str:
    """What becomes of a batch that nobody waits for any more."""
    if settings.is_cluster:
        return f"the batch goes on; `v2t batches watch {batch_id}` follows it, `v2t batches cancel {batch_id}` ends it"
    return f"the batch goes on when the cluster runs again; `v2t batches watch {batch_id}` runs and follows it"


def _as_data(failures: list[tuple[str, V2TError]]) -> list[dict[str, str]]:
    return [{"file": name, "code": error.code, "message": error.message} for name, error in failures]
