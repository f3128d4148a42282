"""Batches: many files grouped by size, each group worked on by itself, all results in one report.

The groups and outcomes themselves are objects in the store, below `<batch id>/`; through Temporal travel only
numbers and references, so that the cost of a file does not grow with the size of its batch.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from v2t.domain.jobs import DEFAULT_PRIORITY, DEFAULT_USER, AudioRef, JobState, TranscribeOptions, TranscribeRequest

_MEGABYTE = 1024 * 1024

_CLASSES = ((10 * _MEGABYTE, 20), (50 * _MEGABYTE, 10))
"""Files up to so many bytes form groups of so many: small files, then medium ones."""

_LARGE_GROUP = 5

GROUPS_A_RUN = 400
"""Groups before a batch's workflow goes on in a new run: each costs about ten events of the 10 240
at which Temporal begins to warn."""


@dataclass(frozen=True, slots=True)
class UploadRef:
    """A recording that somebody put into the store under a name of his own."""

    key: str  # incoming/<user>/<name>
    size_bytes: int
    etag: str

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.key.rpartition("/")[2]

    @property
    def user(self) -> str:
        """Whose folder it lies in."""
        parts = self.key.split("/")
        return parts[1] if len(parts) > 2 else DEFAULT_USER

    @property
    def upload_id(self) -> str:
        """`u-` and 26 base32 characters of its key and content: the workflow that takes it in."""
        return "u-" + _digest(f"{self.key}\n{self.etag}")


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One file of a batch: a request, or an upload whose content has not been read yet."""

    name: str
    size_bytes: int
    request: TranscribeRequest | None = None
    upload: UploadRef | None = None

    @property
    def identity(self) -> str:
        """The same for the same content and parameters."""
        return self.request.job_id if self.request else self.upload.upload_id if self.upload else self.name


@dataclass(frozen=True, slots=True)
class BatchGroup:
    """Files that are worked on together."""

    index: int
    items: tuple[BatchItem, ...]
    options: TranscribeOptions  # for the uploads among them
    user: str = DEFAULT_USER
    priority: int = DEFAULT_PRIORITY
    tags: tuple[str, ...] = ()  # of the uploads among them


@dataclass(frozen=True, slots=True)
class BatchTotals:
    """How many files ended how."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    audio_seconds: float = 0.0

    @property
    def files(self) -> int:
        """All that have ended."""
        return self.completed + self.failed + self.cancelled

    def plus(self, other: BatchTotals) -> BatchTotals:
        """The sum of both."""
        return BatchTotals(
            self.completed + other.completed,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
            self.audio_seconds + other.audio_seconds,
        )


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A batch whose groups are stored; the later fields carry it over from one run to the next."""

    batch_id: str
    groups: int
    files: int
    user: str = DEFAULT_USER
    priority: int = DEFAULT_PRIORITY
    groups_in_flight: int = 8
    groups_a_run: int = GROUPS_A_RUN  # said here, so that another version does not change what a run did
    next_group: int = 0
    totals: BatchTotals = BatchTotals()
    started_at: float = 0.0  # Unix time of the first run
    paused: bool = False


@dataclass(frozen=True, slots=True)
class GroupRequest:
    """Work on one group of a batch."""

    batch_id: str
    index: int
    user: str = DEFAULT_USER
    priority: int = DEFAULT_PRIORITY
    linger_seconds: float = 0.0  # for each file under way; 0: not at all, as groups of older versions


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """How one file of a batch ended."""

    name: str
    state: JobState
    job_id: str = ""
    audio_seconds: float = 0.0
    words: int = 0
    transcript_key: str = ""
    error_code: str = ""
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class LoadedGroup:
    """A group as its workflow gets it: what has been done before, and what is still to do."""

    finished: tuple[FileOutcome, ...]
    items: tuple[BatchItem, ...]
    options: TranscribeOptions  # for the uploads among them
    tags: tuple[str, ...] = ()  # of the uploads among them


@dataclass(frozen=True, slots=True)
class FollowedJob:
    """How a job ended that somebody else had started.

    `again` tells that this end is not an answer: it was cancelled or terminated, or its transcript is gone.
    """

    outcome: FileOutcome
    again: bool = False


@dataclass(frozen=True, slots=True)
class FollowRequest:
    """Wait for a job that somebody else started."""

    job_id: str
    name: str


@dataclass(frozen=True, slots=True)
class GroupOutcomes:
    """How the files of a group ended."""

    batch_id: str
    index: int
    outcomes: tuple[FileOutcome, ...]

    @property
    def totals(self) -> BatchTotals:
        """Their numbers."""
        states = [outcome.state for outcome in self.outcomes]
        return BatchTotals(
            completed=states.count(JobState.COMPLETED),
            failed=states.count(JobState.FAILED),
            cancelled=states.count(JobState.CANCELLED),
            audio_seconds=sum(outcome.audio_seconds for outcome in self.outcomes),
        )


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """Write the report over a batch; files without an outcome are `missing_state`."""

    batch_id: str
    groups: int
    missing_state: JobState = JobState.FAILED


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How a batch ended: numbers, and where the report is."""

    batch_id: str
    totals: BatchTotals
    report_key: str


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """What the workflow's `progress` query answers; its totals are of the groups that have ended."""

    files: int
    totals: BatchTotals
    groups_running: int
    paused: bool = False
    running: tuple[int, ...] = ()  # the numbers of those groups


def group_by_size(items: Iterable[BatchItem]) -> Iterator[tuple[BatchItem, ...]]:
    """Groups of 20 files below 10 MB, of 10 up to 50 MB, of 5 above; files keep their order inside their class."""
    waiting: dict[int, list[BatchItem]] = {}
    for item in items:
        size = next((count for bytes_, count in _CLASSES if item.size_bytes < bytes_), _LARGE_GROUP)
        group = waiting.setdefault(size, [])
        group.append(item)
        if len(group) == size:
            yield tuple(waiting.pop(size))
    yield from (tuple(group) for group in waiting.values())


def batch_id(items: Iterable[BatchItem], options: TranscribeOptions, user: str) -> str:
    """`b-` and 26 base32 characters of the batch's files, parameters and user: the same batch has the same name."""
    files = sorted(f"{item.name}\n{item.identity}" for item in items)
    return "b-" + _digest("\n".join([user, repr(options), *files]))


def group_id(batch_id: str, index: int) -> str:
    """The workflow id of a group."""
    return f"{batch_id}/g{index:06d}"


def group_key(batch_id: str, index: int) -> str:
    """The object key of a group's files."""
    return f"{batch_id}/groups/{index:06d}.json"


def outcomes_key(batch_id: str, index: int) -> str:
    """The object key of a group's outcomes."""
    return f"{batch_id}/outcomes/{index:06d}.json"


def report_key(batch_id: str) -> str:
    """The object key of the report over all files, one JSON object a line."""
    return f"{batch_id}/report.jsonl"


def encode_group(group: BatchGroup) -> bytes:
    """The JSON document of a group, as stored."""
    return json.dumps(asdict(group)).encode()


def decode_group(data: bytes) -> BatchGroup:
    """Read what `encode_group` wrote."""
    document = json.loads(data)
    return BatchGroup(
        **{
            **document,
            "items": tuple(_item(item) for item in document["items"]),
            "options": TranscribeOptions(**document["options"]),
            "tags": tuple(document.get("tags", ())),
        }
    )


def encode_outcomes(outcomes: Iterable[FileOutcome]) -> bytes:
    """Outcomes as stored: one JSON object a line."""
    lines = (json.dumps(asdict(outcome)) + "\n" for outcome in outcomes)
    return "".join(lines).encode()


def decode_outcome(line: str | bytes) -> FileOutcome:
    """Read one line that `encode_outcomes` wrote."""
    document = json.loads(line)
    return FileOutcome(**{**document, "state": JobState(document["state"])})


def _item(document: dict[str, Any]) -> BatchItem:
    request, upload = document["request"], document["upload"]
    if request:
        audio, options = AudioRef(**request["audio"]), TranscribeOptions(**request["options"])
        tags = tuple(request.get("tags", ()))
        request = TranscribeRequest(**{**request, "audio": audio, "options": options, "tags": tags})
    return BatchItem(**{**document, "request": request or None, "upload": UploadRef(**upload) if upload else None})


def _digest(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode(errors="replace")).digest()).decode().lower()[:26]
