"""Every metric of v2t's own, defined once. Importing this costs prometheus-client: import it where work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from v2t.domain.records import ProviderAttempt

_AUDIO_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200)

CACHE_REQUESTS = Counter(
    "v2t_cache_requests_total", "Objects asked for, by the level that answered.", ["level", "outcome"]
)
"""level: disk, redis or store; outcome: hit or miss."""

CACHE_BYTES = Gauge("v2t_cache_disk_bytes", "Bytes in the disk cache of this host.")

TRANSCRIPTIONS = Counter("v2t_transcriptions_total", "Chunks transcribed, by outcome.", ["provider", "outcome"])
"""outcome: ok, or the code of the error."""

TRANSCRIPTION_SECONDS = Histogram(
    "v2t_transcription_duration_seconds", "Time a provider took for a chunk.", ["provider"], buckets=_AUDIO_BUCKETS
)

AUDIO_SECONDS = Counter("v2t_audio_seconds_total", "Audio transcribed, in seconds.", ["provider"])

SLOTS = Gauge("v2t_worker_slots", "Slots of this worker.", ["kind", "state"])
"""kind: engine or bookkeeping; state: total or used."""

TASKS = Counter("v2t_worker_tasks_total", "Steps that ended on this worker, by outcome.", ["step", "outcome"])
"""outcome: ok, cancelled, given back, or the code of the error."""


def observe_attempt(attempt: ProviderAttempt) -> None:
    """Count one try of a provider, and what it did."""
    TRANSCRIPTIONS.labels(attempt.provider, attempt.error_code or "ok").inc()
    if not attempt.error_code:
        TRANSCRIPTION_SECONDS.labels(attempt.provider).observe(attempt.seconds)
        AUDIO_SECONDS.labels(attempt.provider).inc(attempt.audio_seconds)
