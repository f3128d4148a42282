"""Uploads: recordings that somebody dropped into the store, and that are to become jobs exactly once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from v2t.domain.batches import UploadRef
from v2t.domain.jobs import DEFAULT_PRIORITY, AudioRef, TranscribeOptions, TranscribeRequest

INCOMING = "incoming/"
"""Uploads lie below it, each in its user's folder."""


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """Take in one upload."""

    upload: UploadRef
    options: TranscribeOptions
    priority: int = DEFAULT_PRIORITY
    batch_id: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdoptedUpload:
    """An upload whose content stands in the store under its own name; no request: it is gone, or was overwritten."""

    request: TranscribeRequest | None = None


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """Take in the uploads whose keys come after `after`."""

    options: TranscribeOptions
    after: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Some uploads that were found; `more` of them may follow."""

    uploads: tuple[UploadRef, ...]
    more: bool = False


def adoption_key(upload: UploadRef) -> str:
    """The object key of the note that says which content an upload had."""
    return f"uploads/{upload.upload_id}.json"


def encode_audio(audio: AudioRef) -> bytes:
    """The JSON document of that note."""
    return json.dumps(asdict(audio)).encode()


def decode_audio(data: bytes) -> AudioRef:
    """Read what `encode_audio` wrote."""
    return AudioRef(**json.loads(data))
