"""samples/jfk.wav, and what a good engine hears in it."""

from __future__ import annotations

from itertools import pairwise

from v2t.domain.ports import EngineResult

SPEECH_SECONDS = 11.0


def assert_kennedy_is_heard(result: EngineResult) -> None:
    """The words are those that were spoken, with rising times inside the recording, and segments are made of them."""
    text = " ".join(segment.text for segment in result.segments).lower().replace(",", "")
    assert "ask not what your country can do for you" in text
    words = [word for segment in result.segments for word in segment.words]
    assert len(words) >= 20
    assert all(0 <= word.start <= word.end <= SPEECH_SECONDS and 0 < word.probability <= 1 for word in words)
    assert all(before.start <= after.start for before, after in pairwise(words))
    assert all(segment.text.split() == [word.text for word in segment.words] for segment in result.segments)
