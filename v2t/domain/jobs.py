"""What travels between client, workflow and activities: frozen facts and references, never audio or text.

Everything here crosses the Temporal wire, so fields are str, int, float, bool, tuple, StrEnum
or another dataclass of this module, and new fields need a default. Their types are types, not strings: those the SDK
would evaluate again for every payload.
"""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

SAMPLE_RATE = 16_000
"""Samples a second of all decoded audio: what Whisper was trained on (Radford et al. 2022, section 2.2)."""

LOCAL = "local"
"""The provider name that means: the fastest engine installed on the machine that runs it."""

AUTO = "auto"
"""The provider name that means: whoever the rules and the chain of the settings name, one after the other."""

DEFAULT_MODEL = "base"
DEFAULT_USER = "local"
DEFAULT_PRIORITY = 3
"""In the middle of 1, the most urgent, and 5."""


class JobState(StrEnum):
    """Where a job stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """What a running job is doing."""

    QUEUED = "queued"
    CUTTING = "cutting"
    TRANSCRIBING = "transcribing"
    PAUSED = "paused"
    STORING = "storing"


@dataclass(frozen=True, slots=True)
class AudioRef:
    """A source file in the object store, named by its content."""

    sha256: str
    size_bytes: int
    name: str  # what the user called it, for display; may hold any character

    @property
    def key(self) -> str:
        """Its object key."""
        return f"audio/{self.sha256}"


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """The parameters that change the text; together with the content they name a job."""

    provider: str = LOCAL
    model: str = DEFAULT_MODEL
    language: str = ""  # ISO 639-1 code; empty: detect
    translate: bool = False  # into English
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class TranscribeRequest:
    """One file to transcribe."""

    audio: AudioRef
    options: TranscribeOptions = TranscribeOptions()
    user: str = DEFAULT_USER
    priority: int = DEFAULT_PRIORITY  # 1 to 5
    batch_id: str = ""
    queue: str = ""  # task queue of the engines that are to compute it; empty: processors
    small: bool = False  # few bytes: the step that cuts it goes on to the end where it is a single chunk
    max_dollars: float = 0.0  # providers that would take more for it are not asked; 0: no limit
    tags: tuple[str, ...] = ()  # words that rules may look at; they are not in the id, as the text is the same

    @property
    def job_id(self) -> str:
        """`t-` and 26 base32 characters (130 bits) of content and canonical parameters."""
        canonical = json.dumps([self.audio.sha256, asdict(self.options)], sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).digest()
        return "t-" + base64.b32encode(digest).decode().lower()[:26]


SMALL_FILE_BYTES = 16 * 1024 * 1024
"""A minute of uncompressed stereo is smaller. Up to here an engine loses less by waiting for its file than the cluster
loses by a step more."""


def with_size_class(request: TranscribeRequest) -> TranscribeRequest:
    """The request as its run begins with it, which keeps to the limit of its start whatever later versions say."""
    return replace(request, small=request.audio.size_bytes <= SMALL_FILE_BYTES)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of speech: `length` seconds that stand at `start` in the source."""

    start: float
    length: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the source cut at silence, ready for an engine.

    Its object is a 16 kHz mono 16-bit WAV that holds the pieces one after the other,
    the non-speech between them left out.
    """

    index: int
    key: str
    pieces: tuple[Piece, ...]
    last_round: bool = False  # it is short, so that engines end together; of use when it comes after the others

    @property
    def start(self) -> float:
        """Where its first piece stands in the source, in seconds."""
        return self.pieces[0].start

    @property
    def end(self) -> float:
        """Where its last piece ends in the source, in seconds."""
        return self.pieces[-1].start + self.pieces[-1].length

    @property
    def speech_seconds(self) -> float:
        """Seconds of audio in the chunk's object."""
        return sum(piece.length for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider to ask, and where."""

    provider: str
    model: str = ""  # empty: the one of the request
    workers: str = ""  # kind of workers that are to compute it; empty: those of the request
    reason: str = ""
    own_queue: bool = False  # it is asked by workers that take such work from a queue of its own


def asked_of(options: TranscribeOptions, choice: Choice) -> TranscribeOptions:
    """The options as they are asked of a provider."""
    return replace(options, provider=choice.provider, model=choice.model or options.model)


@dataclass(frozen=True, slots=True)
class CutRequest:
    """Cut a window of the source: from `start`, in seconds of its timeline, for about `window_seconds`.

    Windows let transcription begin before a long file is decoded to its end. `first_index` numbers the chunks.
    """

    audio: AudioRef
    job_id: str
    start: float = 0.0
    window_seconds: float = 120.0
    first_index: int = 0
    plan_for: TranscribeRequest | None = None  # whose providers are to be chosen with the first window
    engines: int = 0  # that share the file's chunks; 0: to be found out, with the first window


@dataclass(frozen=True, slots=True)
class Failure:
    """A provider that was asked in vain."""

    provider: str
    code: str  # name of the error's class
    message: str
    seconds: float = 0.0  # that all its tries took; 0: of a version that did not count them

    def __str__(self) -> str:
        took = f" (after {self.seconds:.1f} s)" if self.seconds else ""
        return f"{self.provider}: {self.message}{took}"


@dataclass(frozen=True, slots=True)
class TranscribeResult:
    """How a job ended well: a reference to the transcript and a short summary."""

    job_id: str
    transcript_key: str
    language: str
    duration_seconds: float
    words: int
    provider: str
    model: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """A window cut into chunks.

    `next_start` is where the next window begins; it equals the duration when `finished`.
    All times include the container's audio start time `offset_seconds`.
    """

    chunks: tuple[Chunk, ...]
    silences: tuple[Piece, ...]  # non-speech left out of the chunks
    next_start: float
    finished: bool
    duration_seconds: float = 0.0  # known exactly when finished, before that as the container says, or 0
    offset_seconds: float = 0.0
    decode_seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    host: str = ""  # the machine that cut it, whose disk holds the source now
    stored: TranscribeResult | None = None  # the transcript stands: there is nothing more to do
    plan: tuple[Choice, ...] = ()  # providers to ask, of the first window; empty: the request's own
    failures: tuple[Failure, ...] = ()  # those that were asked already, in vain
    engines: int = 0  # that share the file's chunks


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """Transcribe one chunk."""

    job_id: str
    chunk: Chunk
    options: TranscribeOptions
    tries: int = 0  # after so many the next provider is asked; 0: there is no other


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """Where a chunk's transcript was stored, and what the workflow needs to vote on the language."""

    index: int
    key: str
    language: str
    language_probability: float
    speech_seconds: float
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """Merge the chunk transcripts, store the transcript, record the job."""

    request: TranscribeRequest
    results: tuple[ChunkResult, ...]
    silences: tuple[Piece, ...]
    duration_seconds: float
    language: str
    language_probability: float
    decode_seconds: float
    started_at: float  # Unix time
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShortRequest:
    """Transcribe a file that is one chunk, and merge it, in one go: a round trip less."""

    chunk: Chunk
    merge: MergeRequest  # without results and language, which are not known yet
    options: TranscribeOptions | None = None  # with the provider to ask; None: the request's own
    tries: int = 0  # as in ChunkRequest


@dataclass(frozen=True, slots=True)
class SmallRequest:
    """Cut a small file and, where it is a single chunk, transcribe it to the end."""

    request: TranscribeRequest
    started_at: float  # Unix time


@dataclass(frozen=True, slots=True)
class FailureRequest:
    """Record how a job ended without a transcript."""

    request: TranscribeRequest
    state: JobState
    error_code: str
    error_message: str
    started_at: float  # Unix time


@dataclass(frozen=True, slots=True)
class Progress:
    """What the workflow's `progress` query answers."""

    stage: Stage
    duration_seconds: float  # 0 while unknown
    finished_seconds: float  # of source audio
    chunks_finished: int
    chunks_known: int


def archive_key(job_id: str) -> str:
    """The object key of a job's transcript, gzip, once it is archived."""
    return f"archive/{job_id}/transcript.json.gz"


def chunk_key(job_id: str, index: int) -> str:
    """The object key of a chunk of a job."""
    return f"{job_id}/chunks/{index:05d}.wav"


def transcript_key(job_id: str) -> str:
    """The object key of a job's transcript."""
    return f"{job_id}/transcript.json"


def choose_language(results: tuple[ChunkResult, ...]) -> tuple[str, float]:
    """Vote on the language over the chunks, each weighing its seconds times its confidence.

    Returns the winner and its share of the vote; ("", 0.0) when no chunk knows its language.
    """
    votes: dict[str, float] = {}
    for result in results:
        if result.language:
            weight = result.speech_seconds * result.language_probability
            votes[result.language] = votes.get(result.language, 0.0) + weight
    if not votes:
        return "", 0.0
    winner = max(sorted(votes), key=lambda language: votes[language])
    seconds = sum(result.speech_seconds for result in results if result.language)
    return winner, votes[winner] / seconds if seconds else 0.0
