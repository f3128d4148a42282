"""What a provider can do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do, and its limits."""

    languages: frozenset[str] | None = None  # ISO 639-1 codes; None: all that Whisper knows
    words: bool = True  # gives each word its time
    translation: bool = False  # into English
    diarisation: bool = False  # tells speakers apart
    streaming: bool = False  # tells how far it is while it computes; else only when it has ended
    limit_bytes: int = 0  # of a request; 0: none
    limit_seconds: float = 0.0  # of audio in a request; 0: none
    dollars_per_minute: float = 0.0  # of audio, by its price list
