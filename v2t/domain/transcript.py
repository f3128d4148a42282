"""What a transcription is: words, segments, and how chunk results become one transcript.

All times are seconds from the start of the source's presentation timeline, as floats.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from v2t.domain.languages import is_spaced

SCHEMA = "v2t.transcript/1"


class DropReason(StrEnum):
    """Why a span of the source has no text."""

    NO_SPEECH = "no_speech"  # voice activity detection heard nobody
    LOW_CONFIDENCE = "low_confidence"  # the engine itself doubted that this was speech
    REPETITION = "repetition"  # a decoding loop repeated the same words
    NO_TEXT = "no_text"  # speech was detected but the engine gave no words, twice


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word; `text` carries its punctuation but no surrounding space."""

    text: str
    start: float
    end: float
    probability: float
    spaced: bool = True  # whether a space stands before it: false in Chinese, Japanese, Thai…


@dataclass(frozen=True, slots=True)
class Segment:
    """A phrase as the engine cut it; `probability` is the mean of its words'."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    probability: float = 0.0
    no_speech_probability: float = 0.0


@dataclass(frozen=True, slots=True)
class DroppedSpan:
    """A span of the source that yielded no text, and why."""

    start: float
    end: float
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds of processing."""

    decode_seconds: float = 0.0
    engine_seconds: float = 0.0  # summed over chunks, so it may exceed the wall clock
    total_seconds: float = 0.0  # wall clock, from the job's start to its end


@dataclass(frozen=True, slots=True)
class Transcript:
    """The canonical result of a job; every other format is rendered from it."""

    duration_seconds: float
    segments: tuple[Segment, ...] = ()
    dropped: tuple[DroppedSpan, ...] = ()
    language: str | None = None
    language_probability: float | None = None
    provider: str = ""
    model: str = ""
    translated: bool = False
    timings: Timings = Timings()
    warnings: tuple[str, ...] = ()
    job_id: str = ""
    source: str = ""  # the file's name, without its folder

    @property
    def text(self) -> str:
        """The plain text on one line, without spaces between segments where the language has none."""
        gap = " " if self.translated or is_spaced(self.language or "") else ""
        return gap.join(segment.text.strip() for segment in self.segments if segment.text.strip())


def to_document(transcript: Transcript) -> dict[str, Any]:
    """The JSON document of a transcript, as stored and as `--format json` prints it."""
    return {"schema": SCHEMA, "text": transcript.text, **dataclasses.asdict(transcript)}


def from_document(document: dict[str, Any]) -> Transcript:
    """Read a stored document.

    Raises:
        ValueError: another schema, or fields missing.
    """
    if document.get("schema") != SCHEMA:
        raise ValueError(f"not a {SCHEMA} document: {document.get('schema')!r}")
    try:
        return Transcript(
            duration_seconds=document["duration_seconds"],
            segments=segments_from_document(document["segments"]),
            dropped=tuple(
                DroppedSpan(item["start"], item["end"], DropReason(item["reason"])) for item in document["dropped"]
            ),
            language=document["language"],
            language_probability=document["language_probability"],
            provider=document["provider"],
            model=document["model"],
            translated=document["translated"],
            timings=Timings(**document["timings"]),
            warnings=tuple(document["warnings"]),
            job_id=document["job_id"],
            source=document["source"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a damaged transcript document: {error!r}") from error


def segments_from_document(items: list[dict[str, Any]]) -> tuple[Segment, ...]:
    """Read segments that `dataclasses.asdict` wrote."""
    return tuple(Segment(**{**item, "words": tuple(Word(**word) for word in item["words"])}) for item in items)
