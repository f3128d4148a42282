"""Which recordings a prefix of the cluster's own store holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from v2t.domain.batches import BatchItem, UploadRef
from v2t.domain.errors import UsageError
from v2t.domain.jobs import AudioRef, TranscribeRequest
from v2t.domain.uploads import INCOMING
from v2t.gathering.batch import Gathering, Plan
from v2t.gathering.finding import Recording, is_recording

if TYPE_CHECKING:
    from v2t.config import Settings
    from v2t.domain.ports import ObjectStore

BUCKET_SCHEME = "s3://"

_AUDIO = "audio/"


def bucket_prefix(settings: Settings, address: str) -> str:
    """The prefix of object keys that `s3://bucket/prefix` means.

    Raises:
        UsageError: it is not a place of recordings in the cluster's own store.
    """
    bucket, _, prefix = address.removeprefix(BUCKET_SCHEME).partition("/")
    own = settings.storage.audio_bucket
    if bucket != own:
        raise UsageError(f"{address} is not in the cluster's store; its recordings are in {BUCKET_SCHEME}{own}/")
    prefix = prefix or INCOMING
    if not prefix.startswith((INCOMING, _AUDIO)):
        raise UsageError(f"{address} holds no recordings; those are below {BUCKET_SCHEME}{own}/{INCOMING} and {_AUDIO}")
    return prefix


def gather_objects(store: ObjectStore, prefix: str, plan: Plan) -> tuple[Gathering, int]:
    """The recordings below a prefix of the store, and how many other objects there are."""
    gathering, ignored = Gathering(), 0
    for upload in list_uploads(store, prefix):
        if upload.key.startswith(_AUDIO):
            sha256 = upload.name
            request = TranscribeRequest(
                AudioRef(sha256, upload.size_bytes, sha256), plan.options, plan.user, plan.priority, tags=plan.tags
            )
            gathering.add(BatchItem(sha256, upload.size_bytes, request), Recording(Path(sha256)))
        elif is_recording(upload.name):
            item = BatchItem(upload.name, upload.size_bytes, upload=upload)
            gathering.add(item, Recording(Path(upload.name), _below(upload.key, prefix)))
        else:
            ignored += 1
    return gathering, ignored


def list_uploads(store: ObjectStore, prefix: str) -> Iterator[UploadRef]:
    """The objects below a prefix; what some clients keep for folders is left out."""
    for facts in store.list_objects(prefix):
        if not facts.key.endswith("/"):
            yield UploadRef(facts.key, facts.size_bytes, facts.etag)


def _below(key: str, prefix: str) -> Path:
    """The folder of a key, relative to its prefix, made of names that stay inside."""
    parent = PurePosixPath(key.removeprefix(prefix.rpartition("/")[0] + "/")).parent
    return Path(*(part for part in parent.parts if part not in {"/", ".", ".."}))
