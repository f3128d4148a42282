"""From files to transcripts: name each by its content, look for a stored transcript, submit what is new, follow it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import stat
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2t import deployment, standalone, wiring
from v2t.domain.errors import (
    ClusterUnreachable,
    EmptyInput,
    InputNotFound,
    InputUnreadable,
    ObjectMissing,
    StorageError,
    V2TError,
)
from v2t.domain.jobs import (
    DEFAULT_PRIORITY,
    AudioRef,
    TranscribeOptions,
    TranscribeRequest,
    archive_key,
    transcript_key,
)
from v2t.domain.ports import ObjectStore
from v2t.domain.transcript import Transcript, from_document

if TYPE_CHECKING:
    from v2t.client import JobView
    from v2t.config import Settings
    from v2t.standalone import Cluster

_CANCEL_SECONDS = 5.0
_OWNER_CHANGES = 5
"""How often a job may lose the process that runs the embedded cluster before its follower gives up."""


@dataclass(slots=True)
class Submission:
    """One file on its way; exactly one of `transcript` and `error` is set at the end, neither with `wait=False`."""

    path: Path
    request: TranscribeRequest | None = None
    transcript: Transcript | None = None
    error: V2TError | None = None
    stored: bool = False  # the transcript was there already

    @property
    def is_open(self) -> bool:
        """Whether there is still something to do."""
        return self.transcript is None and self.error is None


OnView = Callable[[Submission, "JobView"], None]
OnOpen = Callable[["Cluster"], None]


def identify(path: Path, options: TranscribeOptions, user: str, priority: int = DEFAULT_PRIORITY) -> TranscribeRequest:
    """Read a file once to name it by its content.

    Raises:
        InputNotFound, InputUnreadable, EmptyInput: with the reason.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer would block
    except FileNotFoundError as error:
        raise InputNotFound(f"{path} does not exist") from error
    except OSError as error:
        raise InputUnreadable(f"{path} cannot be read: {error.strerror}") from error
    try:
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            raise InputUnreadable(f"{path} is a folder; name the files in it, as in {path}/*.mp3")
        if not stat.S_ISREG(facts.st_mode):
            raise InputUnreadable(f"{path} is not a regular file")
        if facts.st_size == 0:
            raise EmptyInput(f"{path} is empty")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            digest = hashlib.file_digest(file, "sha256")
    finally:
        os.close(descriptor)
    name = path.name.encode(errors="replace").decode()  # a name in a broken encoding must still travel as text
    return TranscribeRequest(AudioRef(digest.hexdigest(), facts.st_size, name), options, user, priority)


def stored_transcript(store: ObjectStore, job_id: str) -> Transcript:
    """The transcript of a completed job, from the archive if it was moved there.

    Raises:
        ObjectMissing: there is none, or it is damaged.
    """
    try:
        try:
            data = store.get_bytes(transcript_key(job_id))
        except ObjectMissing:
            data = gzip.decompress(store.get_bytes(archive_key(job_id)))
        return from_document(json.loads(data))
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ObjectMissing(
            f"The stored transcript of {job_id} is damaged; transcribe the file with --fresh."
        ) from error


async def submit_files(
    settings: Settings,
    submissions: Sequence[Submission],
    *,
    wait: bool,
    again: bool,
    on_open: OnOpen,
    on_view: OnView | None,
) -> None:
    """Bring every open submission to its transcript or its error.

    Cancelling the task cancels the jobs: their finished chunks are kept.

    Args:
        settings: which cluster, and its sizes.
        submissions: with their requests; changed in place.
        wait: follow the jobs to their end; else return when they are accepted.
        again: redo jobs that are stored or running.
        on_open: told once the cluster is open.
        on_view: told how each job stands, about once a second; None: nobody asks, which saves the cluster the answers.
    """
    for _ in range(_OWNER_CHANGES):
        waiting = [submission for submission in submissions if submission.is_open]
        if not waiting:
            return
        options = waiting[0].request.options if waiting[0].request else TranscribeOptions()
        async with deployment.open_cluster(settings, provider=options.provider, model=options.model) as cluster:
            on_open(cluster)
            await asyncio.gather(
                *(_process(cluster, submission, wait=wait, again=again, on_view=on_view) for submission in waiting)
            )
            if settings.is_cluster:
                return
            for submission in waiting:
                if isinstance(submission.error, ClusterUnreachable):
                    submission.error = _explain(submission.error, settings.standalone.folder)
            if cluster.owned or not wait:
                return
        # What is still open lost the process that ran the cluster: take its place.
        again = False
    for submission in submissions:
        if submission.is_open:
            submission.error = ClusterUnreachable()


def _explain(error: ClusterUnreachable, folder: Path) -> V2TError:
    """The cause where there is a known one: on a full disk the server fails in many ways."""
    try:
        standalone.prepare_folder(folder)
    except StorageError as cause:
        return cause
    return error


async def _process(
    cluster: Cluster, submission: Submission, *, wait: bool, again: bool, on_view: OnView | None
) -> None:
    request = submission.request
    assert request is not None
    try:
        if again:
            await _cancel(cluster, request.job_id)  # a run that goes on would share its chunks with the new one
        await asyncio.to_thread(_put_audio, cluster.store, submission.path, request, again=again)
        await cluster.client.submit(request, again=again)
        if wait:
            await _follow(cluster, submission, request, on_view)
    except ClusterUnreachable as error:
        if cluster.owned or cluster.remote:
            submission.error = error
    except V2TError as error:
        submission.error = error


async def _follow(cluster: Cluster, submission: Submission, request: TranscribeRequest, on_view: OnView | None) -> None:
    watcher = asyncio.create_task(_watch(cluster, submission, request.job_id, on_view))
    ended = asyncio.create_task(cluster.client.result(request.job_id))
    lost = asyncio.create_task(cluster.lost.wait())
    try:
        await asyncio.wait({ended, lost}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            raise ClusterUnreachable
        ended.result()
    except asyncio.CancelledError:
        await _cancel(cluster, request.job_id)
        raise
    finally:
        for task in (watcher, ended, lost):
            task.cancel()
        await asyncio.gather(watcher, ended, lost, return_exceptions=True)
    submission.transcript = await _fetch(cluster, request)


async def _fetch(cluster: Cluster, request: TranscribeRequest) -> Transcript:
    """The transcript of a completed job; a job whose transcript was deleted behind our back runs once more."""
    try:
        return await asyncio.to_thread(stored_transcript, cluster.store, request.job_id)
    except ObjectMissing:
        await cluster.client.submit(request, lost=True)
        await cluster.client.result(request.job_id)
        return await asyncio.to_thread(stored_transcript, cluster.store, request.job_id)


async def _watch(cluster: Cluster, submission: Submission, job_id: str, on_view: OnView | None) -> None:
    if on_view is None:
        return
    async for view in cluster.client.watch(job_id):
        on_view(submission, view)


async def _cancel(cluster: Cluster, job_id: str) -> None:
    """Cancel a job, if it runs, and wait for its end, but not for ever."""
    with suppress(V2TError, TimeoutError):
        async with asyncio.timeout(_CANCEL_SECONDS):
            await cluster.client.cancel(job_id)
            await cluster.client.result(job_id)


def _put_audio(store: ObjectStore, path: Path, request: TranscribeRequest, *, again: bool) -> None:
    if again:
        store.delete_prefix(f"{request.job_id}/")
    if not store.exists(request.audio.key):
        store.put_file(request.audio.key, path)


def find_stored(settings: Settings, submissions: Sequence[Submission]) -> None:
    """Answer what has been transcribed before from the store, without opening the cluster."""
    if not settings.is_cluster and not (settings.standalone.folder / "objects").is_dir():
        return
    store = wiring.open_store(settings)
    for submission in submissions:
        if submission.is_open and submission.request:
            with suppress(ObjectMissing):
                submission.transcript = stored_transcript(store, submission.request.job_id)
                submission.stored = True
