"""What is in a backup: pure descriptions, as they stand in its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from v2t.domain.errors import StorageDamaged

FORMAT = 1
OBJECTS = "objects.jsonl"
"""File of a backup with a line for each object."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of a backup."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """What was in a bucket."""

    objects: int = 0
    size_bytes: int = 0

    def with_one(self, size_bytes: int) -> BucketFacts:
        """The same with one more object."""
        return BucketFacts(self.objects + 1, self.size_bytes + size_bytes)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a backup; its content is in the pool, under its digest."""

    bucket: str
    """What the bucket is for, whatever it is called: audio, transcripts, archive or models."""
    key: str
    size_bytes: int
    etag: str
    sha256: str
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def to_line(self) -> str:
        """Its line in `objects.jsonl`."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"


def parse_object(line: str) -> StoredObject:
    """A line of `objects.jsonl`. Raises StorageDamaged."""
    try:
        return StoredObject(**json.loads(line))
    except (ValueError, TypeError):
        raise StorageDamaged(f"{OBJECTS} has a line that describes no object") from None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole backup; it is written last."""

    name: str
    """Of its folder: when it was begun, UTC."""
    version: str
    """Of v2t."""
    programs: Mapping[str, str]
    """Program → version, as they ran then."""
    files: Mapping[str, FileFacts]
    """Path below the backup's folder → what is in it; among them the dumps and `objects.jsonl`."""
    buckets: Mapping[str, BucketFacts]
    without_transcript: int
    """Records of completed jobs whose transcript was gone when the objects were copied."""

    @property
    def objects(self) -> int:
        """In all buckets."""
        return sum(bucket.objects for bucket in self.buckets.values())

    @property
    def size_bytes(self) -> int:
        """Of objects and files; backups share the content that they have in common."""
        files = sum(facts.size_bytes for facts in self.files.values())
        return files + sum(bucket.size_bytes for bucket in self.buckets.values())

    def to_text(self) -> str:
        """As it stands in `manifest.json`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, sort_keys=True) + "\n"


def parse_manifest(text: str) -> Manifest:
    """What `manifest.json` says. Raises StorageDamaged."""
    try:
        document: dict[str, Any] = json.loads(text)
        found = document.pop("format")
        if found != FORMAT:
            raise StorageDamaged(f"the backup is of format {found}, which this version of v2t does not know")
        files = {path: FileFacts(**facts) for path, facts in document.pop("files").items()}
        buckets = {name: BucketFacts(**facts) for name, facts in document.pop("buckets").items()}
        return Manifest(files=files, buckets=buckets, **document)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise StorageDamaged("manifest.json does not describe a backup") from None
