from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.transcript import (
    SCHEMA,
    DroppedSpan,
    DropReason,
    Segment,
    Timings,
    Transcript,
    Word,
    from_document,
    to_document,
)

SECONDS = st.floats(0, 360_000, allow_nan=False)
PROBABILITY = st.floats(0, 1)
WORDS = st.builds(Word, st.text(min_size=1), SECONDS, SECONDS, PROBABILITY, st.booleans())
SEGMENTS = st.builds(
    Segment, SECONDS, SECONDS, st.text(), st.lists(WORDS, max_size=4).map(tuple), PROBABILITY, PROBABILITY
)
TRANSCRIPTS = st.builds(
    Transcript,
    duration_seconds=SECONDS,
    segments=st.lists(SEGMENTS, max_size=4).map(tuple),
    dropped=st.lists(st.builds(DroppedSpan, SECONDS, SECONDS, st.sampled_from(DropReason)), max_size=3).map(tuple),
    language=st.none() | st.sampled_from(["en", "ja"]),
    language_probability=st.none() | PROBABILITY,
    provider=st.text(),
    model=st.text(),
    translated=st.booleans(),
    timings=st.builds(Timings, SECONDS, SECONDS, SECONDS),
    warnings=st.lists(st.text(), max_size=2).map(tuple),
    job_id=st.text(),
    source=st.text(),
)


@given(TRANSCRIPTS)
def test_a_stored_document_reads_back_as_the_same_transcript(transcript: Transcript) -> None:
    stored = json.dumps(to_document(transcript))
    assert from_document(json.loads(stored)) == transcript


def test_a_document_names_its_schema_and_carries_the_plain_text() -> None:
    transcript = Transcript(3.0, (Segment(0, 1, " Hello,"), Segment(1, 2, " "), Segment(2, 3, "world. ")))
    document = to_document(transcript)
    assert document["schema"] == SCHEMA
    assert document["text"] == "Hello, world."


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": "v2t.transcript/99"},
        {"schema": None},
        {"timings": {"unknown": 1}},
        {"dropped": [{"start": 0.0, "end": 1.0}]},
        {"dropped": [{"start": 0.0, "end": 1.0, "reason": "mood"}]},
        {"segments": [{"start": 0.0}]},
    ],
)
def test_a_foreign_or_damaged_document_is_refused(damage: dict[str, Any]) -> None:
    document = {**to_document(Transcript(1.0)), **damage}
    with pytest.raises(ValueError, match=r"document|DropReason"):
        from_document(document)


def test_a_document_without_segments_is_refused() -> None:
    document = to_document(Transcript(1.0))
    del document["segments"]
    with pytest.raises(ValueError, match="damaged"):
        from_document(document)
