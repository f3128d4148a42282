"""Every metric of v2t's own, defined once. Importing this costs prometheus-client: import it where work is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from v2t.domain.breaker import Breaker
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

CALLS = Counter(
    "v2t_provider_calls_total", "Calls of providers on other machines, by outcome.", ["provider", "host", "outcome"]
)
"""host: of a provider with several, else empty; outcome: ok, code of the error, cancelled, or resting: not called."""

BREAKER_STATE = Gauge(
    "v2t_provider_breaker_state",
    "Circuit breaker as this worker last saw it: 0 closed, 1 half-open, 2 open.",
    ["provider", "host"],
)

BREAKER_OPENINGS = Counter(
    "v2t_provider_breaker_openings_total", "Times that calls of this worker opened it.", ["provider", "host"]
)

SLOTS = Gauge("v2t_worker_slots", "Slots of this worker.", ["kind", "state"])
"""kind: engine, bookkeeping or provider (calls of those on other machines); state: total or used."""

TASKS = Counter("v2t_worker_tasks_total", "Steps that ended on this worker, by outcome.", ["step", "outcome"])
"""outcome: ok, cancelled, given back, or the code of the error."""


def observe_attempt(attempt: ProviderAttempt) -> None:
    """Count one try of a provider, and what it did."""
    TRANSCRIPTIONS.labels(attempt.provider, attempt.error_code or "ok").inc()
    if not attempt.error_code:
        TRANSCRIPTION_SECONDS.labels(attempt.provider).observe(attempt.seconds)
        AUDIO_SECONDS.labels(attempt.provider).inc(attempt.audio_seconds)


_STATES = ("closed", "half-open", "open")
_breakers: dict[tuple[str, str], Breaker] = {}


def observe_call(provider: str, host: str, outcome: str, before: Breaker, after: Breaker) -> None:
    """Count a call of a provider on another machine, and show what became of its breaker."""
    CALLS.labels(provider, host, outcome).inc()
    openings = BREAKER_OPENINGS.labels(provider, host)
    if after.openings > before.openings:
        openings.inc()
    place = provider, host
    if place not in _breakers:  # the state changes with time alone, so that it is asked for when it is shown
        state = BREAKER_STATE.labels(provider, host)
        state.set_function(lambda: _STATES.index(_breakers[place].state(time.time())))
    _breakers[place] = after
