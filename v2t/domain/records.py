"""What the records keep of jobs, long after Temporal has forgotten them."""

from __future__ import annotations

from dataclasses import dataclass

from v2t.domain.jobs import JobState


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as the records keep it; times are Unix seconds, 0 where not reached."""

    job_id: str
    user: str
    name: str
    sha256: str
    size_bytes: int
    state: JobState
    provider: str = ""
    model: str = ""
    language: str = ""
    audio_seconds: float = 0.0
    words: int = 0
    transcript_key: str = ""
    error_code: str = ""
    error_message: str = ""
    created_at: float = 0.0
    finished_at: float = 0.0
    batch_id: str = ""
    engine_seconds: float = 0.0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderAttempt:
    """One try of a provider at one chunk, as the records keep it."""

    job_id: str
    chunk_index: int
    attempt: int  # from 1, as Temporal counts them
    provider: str
    model: str
    worker: str  # host and process that computed
    started_at: float  # Unix time
    seconds: float
    audio_seconds: float
    error_code: str = ""  # empty: it succeeded
    error_message: str = ""
    dollars: float = 0.0  # by the provider's price list


@dataclass(frozen=True, slots=True)
class CallsLine:
    """How often a provider was asked, and how often that went well."""

    provider: str
    calls: int
    succeeded: int

    def __str__(self) -> str:
        return f"{100 * self.succeeded / self.calls:.0f} % of {self.calls}" if self.calls else "-"


@dataclass(frozen=True, slots=True)
class CostLine:
    """What a provider, a user or a month came to."""

    key: str
    jobs: int
    audio_seconds: float  # that providers were paid for or not; chunks that were tried in vain are left out
    dollars: float
