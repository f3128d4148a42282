"""How an upload becomes a recording: named by its content, copied under that name, and removed where it lay.

Every step may run again at any point, also after its workflow has ended: a note of which content an upload
had outlives the upload itself.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from itertools import islice
from typing import Any

from temporalio import activity

from v2t.activities.steps import step
from v2t.activities.transcripts import find_transcript
from v2t.domain.batches import UploadRef
from v2t.domain.errors import ObjectMissing
from v2t.domain.jobs import AudioRef, JobState, TranscribeRequest
from v2t.domain.ports import ObjectStore, RunningJobs
from v2t.domain.uploads import (
    INCOMING,
    AdoptedUpload,
    SweepRequest,
    UploadPage,
    UploadRequest,
    adoption_key,
    decode_audio,
    encode_audio,
)

PAGE_UPLOADS = 100
"""Uploads that a sweep looks at before it goes on in a new run."""


class UploadActivities:
    """The activities of TakeUpload and SweepUploads.

    Args:
        store: where uploads and recordings are.
        jobs: what has been started.
        page_uploads: how many uploads a page of `find_uploads` has at most.
    """

    def __init__(self, store: ObjectStore, jobs: RunningJobs, page_uploads: int = PAGE_UPLOADS) -> None:
        self._store = store
        self._jobs = jobs
        self._page_uploads = page_uploads

    @property
    def steps(self) -> list[Callable[..., Any]]:
        """All of them, for a worker of the queue `v2t`."""
        return [self.adopt_upload, self.is_lost, self.release_upload, self.find_uploads]

    @activity.defn
    async def adopt_upload(self, request: UploadRequest) -> AdoptedUpload:
        """Keep an upload's content under its SHA-256, and say which job it is."""
        async with step():
            audio = await asyncio.to_thread(self._adopt, request.upload)
        if audio is None:
            return AdoptedUpload()
        return AdoptedUpload(
            TranscribeRequest(
                audio, request.options, request.upload.user, request.priority, request.batch_id, tags=request.tags
            )
        )

    @activity.defn
    async def is_lost(self, job_id: str) -> bool:
        """Whether a job has completed, but its transcript is gone."""
        async with step():
            state = await self._jobs.state(job_id)
            return state == JobState.COMPLETED and not await asyncio.to_thread(find_transcript, self._store, job_id)

    @activity.defn
    async def release_upload(self, upload: UploadRef) -> None:
        """Remove an upload that has become a job, unless other content has taken its place."""
        async with step():
            await asyncio.to_thread(self._store.delete, upload.key, etag=upload.etag)

    @activity.defn
    async def find_uploads(self, request: SweepRequest) -> UploadPage:
        """Some of the uploads that still lie in the store, in the order of their keys."""
        async with step():
            found = await asyncio.to_thread(self._find, request.after)
        return UploadPage(tuple(found[: self._page_uploads]), more=len(found) > self._page_uploads)

    def _adopt(self, upload: UploadRef) -> AudioRef | None:
        if audio := self._noted(upload):
            return audio
        try:
            with self._store.open_file(upload.key) as file:
                size_bytes = file.stat().st_size
                with file.open("rb") as content:
                    sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            audio = AudioRef(sha256, size_bytes, upload.name)
            if not self._store.exists(audio.key):
                self._store.copy(upload.key, audio.key, etag=upload.etag)  # fails if it has changed since
            elif self._store.facts(upload.key).etag != upload.etag:
                return None  # what was read has an event of its own
        except ObjectMissing:
            return self._noted(upload)  # taken in by somebody else, or overwritten, since we looked
        self._store.put_bytes(adoption_key(upload), encode_audio(audio))
        return audio

    def _noted(self, upload: UploadRef) -> AudioRef | None:
        """The content this upload had when it was adopted before, if the recording still stands."""
        try:
            audio = decode_audio(self._store.get_bytes(adoption_key(upload)))
        except ObjectMissing:
            return None
        return audio if self._store.exists(audio.key) else None

    def _find(self, after: str) -> list[UploadRef]:
        lying = (
            UploadRef(facts.key, facts.size_bytes, facts.etag)
            for facts in self._store.list_objects(INCOMING)
            if facts.key > after and not facts.key.endswith("/")  # some clients keep empty objects for folders
        )
        return list(islice(lying, self._page_uploads + 1))
