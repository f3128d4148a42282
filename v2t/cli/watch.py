"""`v2t watch`: transcribe what appears in a folder or below a prefix of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from v2t.cli.engine_options import engine_options, format_option
from v2t.cli.interruption import run_interruptible
from v2t.cli.output import Result, counted, returns_result, say
from v2t.domain.errors import InputNotFound, JobFailed, UsageError, V2TError

if TYPE_CHECKING:
    from v2t.cli.outputs import Outputs
    from v2t.config import Settings
    from v2t.domain.subtitles import SubtitleLimits
    from v2t.gathering.batch import Plan
    from v2t.gathering.finding import Recording
    from v2t.submission import Submission

Facts = tuple[str, object]


@click.command("watch")
@click.argument("source", metavar="DIR|s3://BUCKET/PREFIX")
@click.option("-r", "--recursive", is_flag=True, help="Watch folders below DIR too.")
@click.option("--once", is_flag=True, help="Take what is there now, and end; for cron.")
@format_option
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Write transcripts into this folder."
)
@click.option("--beside", is_flag=True, help="Write transcripts next to each file.")
@engine_options
@click.option("-q", "--quiet", is_flag=True, help="Say errors only.")
@returns_result
def command(
    source: str,
    recursive: bool,
    once: bool,
    formats: str,
    output: Path | None,
    beside: bool,
    provider: str,
    model: str,
    language: str,
    translate: bool,
    prompt: str,
    priority: int,
    tags: tuple[str, ...],
    quiet: bool,
) -> Result:
    """Transcribe each audio or video file that appears in DIR, once it has not changed for some seconds.

    How many is the setting batch.settle_seconds. Files whose output is there, or whose transcript is stored, are done
    already. Runs until Ctrl-C.

    \b
    Examples:
      v2t watch recordings/ --output transcripts/ --format srt
      v2t watch recordings/ --beside --once
      v2t watch s3://v2t-audio/incoming/ada/ --output transcripts/
    """
    from v2t.cli.outputs import Outputs
    from v2t.cli.transcribe import limits_of, parse_options, user_of
    from v2t.gathering.batch import Plan
    from v2t.gathering.buckets import BUCKET_SCHEME, bucket_prefix

    outputs = Outputs(formats, output, beside=beside)
    settings, options = parse_options(provider, model, language, prompt, translate=translate)
    plan = Plan(options, user_of(settings), priority, tags)
    watch = Watch(settings, plan, outputs, limits_of(settings, None, None), quiet=quiet)
    if source.startswith(BUCKET_SCHEME):
        if beside:
            raise UsageError("--beside is for local files; use --output FOLDER with s3://.")
        run_interruptible(watch.bucket(bucket_prefix(settings, source), once=once))
    else:
        if not Path(source).is_dir():
            raise InputNotFound(f"{source} is not a folder; name one to watch")
        run_interruptible(watch.folder(source, recursive=recursive, once=once))
    return watch.result()


class Watch:
    """A watch over one place.

    Args:
        settings: which cluster.
        plan: how files are to be transcribed.
        outputs: what is written for them.
        limits: of subtitles.
        quiet: say errors only.
    """

    def __init__(
        self, settings: Settings, plan: Plan, outputs: Outputs, limits: SubtitleLimits, *, quiet: bool
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._outputs = outputs
        self._limits = limits
        self._quiet = quiet
        self._data: list[dict[str, Any]] = []
        self._failed = 0
        self._unreadable: set[str] = set()

    async def folder(self, source: str, *, recursive: bool, once: bool) -> None:
        """Transcribe what appears in a folder."""
        from v2t.gathering.settling import settle

        seen: dict[str, Recording] = {}

        def look() -> Iterable[Facts]:
            return self._look(source, seen, recursive=recursive)

        async with AsyncExitStack() as stack, asyncio.TaskGroup() as waves:
            await self._warm_up(stack)
            async for names in settle(look, settle_seconds=self._settings.batch.settle_seconds, once=once):
                wave = [seen[name] for name in names]
                if self._outputs.are_wanted:
                    wave = self._outputs.missing(wave)
                if wave:
                    waves.create_task(self._transcribe(wave))

    async def bucket(self, prefix: str, *, once: bool) -> None:
        """Transcribe what appears below a prefix of the store."""
        from v2t import wiring
        from v2t.gathering.buckets import list_uploads
        from v2t.gathering.settling import settle

        store = wiring.open_store(self._settings)

        def look() -> Iterable[Facts]:
            return [(upload.key, upload.etag) for upload in list_uploads(store, prefix)]

        async with AsyncExitStack() as stack, asyncio.TaskGroup() as waves:
            await self._warm_up(stack)
            async for keys in settle(look, settle_seconds=self._settings.batch.settle_seconds, once=once):
                if keys:
                    waves.create_task(self._transcribe_objects(prefix, set(keys)))

    def result(self) -> Result:
        """What was done, for `--once`."""
        errors = (JobFailed(f"{counted(self._failed, 'file')} got no transcript."),) if self._failed else ()
        return Result(data={"files": self._data}, errors=errors)

    async def _warm_up(self, stack: AsyncExitStack) -> None:
        """Get the model, and keep an embedded cluster ready between files."""
        if self._settings.is_cluster:
            return
        from v2t import standalone
        from v2t.cli.transcribe import prepare_embedded

        options = self._plan.options
        await asyncio.to_thread(prepare_embedded, self._settings, options, keep=False)
        await stack.enter_async_context(
            standalone.open_cluster(self._settings, provider=options.provider, model=options.model)
        )

    def _look(self, source: str, seen: dict[str, Recording], *, recursive: bool) -> list[Facts]:
        from v2t.gathering.finding import find_recordings

        finding = find_recordings([source], recursive=recursive)
        for name, error in finding.failures:
            if name not in self._unreadable:
                say(error.message)
            self._unreadable.add(name)
        self._outputs.refuse_shared_targets(finding.recordings)
        found: list[Facts] = []
        for recording in finding.recordings:
            try:
                facts = recording.path.stat()
            except OSError:  # it has vanished
                continue
            if facts.st_size:
                seen[str(recording.path)] = recording
                found.append((str(recording.path), (facts.st_size, facts.st_mtime_ns, facts.st_ino)))
        return found

    async def _transcribe(self, wave: Sequence[Recording]) -> None:
        from v2t.submission import Submission, find_stored, identify, submit_files

        submissions = []
        for recording in wave:
            submission = Submission(recording.path)
            try:
                request = await asyncio.to_thread(
                    identify, recording.path, self._plan.options, self._plan.user, self._plan.priority
                )
                submission.request = replace(request, tags=self._plan.tags)
            except InputNotFound:  # it has vanished
                continue
            except V2TError as error:
                submission.error = error
            submissions.append((recording, submission))
        waiting = [submission for _, submission in submissions]
        try:
            await asyncio.to_thread(find_stored, self._settings, waiting)
            await submit_files(
                self._settings,
                [submission for submission in waiting if submission.is_open],
                wait=True,
                again=False,
                on_open=lambda _cluster: None,
                on_view=None,
            )
        except V2TError as error:
            for submission in waiting:
                submission.error = submission.error or (error if submission.is_open else None)
        for recording, submission in submissions:
            self._finish(recording, submission)

    def _finish(self, recording: Recording, submission: Submission) -> None:
        written: tuple[Path, ...] = ()
        error = submission.error
        if submission.transcript and self._outputs.are_wanted:
            try:
                written = self._outputs.write(recording, submission.transcript, self._limits)
            except V2TError as failure:
                error = failure
        self._tell(recording, submission.request.job_id if submission.request else "", written, error)

    async def _transcribe_objects(self, prefix: str, keys: set[str]) -> None:
        from v2t import deployment
        from v2t.cli.batch_run import Batch, Found

        batch = Batch(self._settings, self._plan, self._outputs, self._limits, quiet=True)
        try:
            async with deployment.open_cluster(self._settings) as cluster:
                found = Found([], [prefix], [])
                outcomes = await batch.transcribe(cluster, found, only=keys)
        except V2TError as error:
            say(error.message)
            self._failed += len(keys)
            return
        for item in outcomes:
            failure = None if item.is_completed else JobFailed(item.outcome.error_message)
            self._tell(item.recording, item.outcome.job_id, item.written, failure)

    def _tell(self, recording: Recording, job_id: str, written: tuple[Path, ...], error: V2TError | None) -> None:
        self._data.append(
            {
                "file": str(recording.path),
                "job_id": job_id,
                "written": [str(path) for path in written],
                "error": {"code": error.code, "message": error.message} if error else None,
            }
        )
        if error:
            self._failed += 1
            say(f"{recording.path}: {error.message}")
        elif not self._quiet:
            say(f"{recording.path}: " + (f"wrote {', '.join(map(str, written))}" if written else f"done, {job_id}"))
