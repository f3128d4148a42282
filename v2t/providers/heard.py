"""What providers make of what was heard: words, the phrases they form, and the result for a chunk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from v2t.domain.errors import EngineEmptyResult, UnknownLanguage
from v2t.domain.jobs import Chunk
from v2t.domain.languages import parse_language
from v2t.domain.ports import EngineResult
from v2t.domain.transcript import Segment, Word
from v2t.domain.words import join_words

SURELY_SPEECH_SECONDS = 3.0
"""Below this, what voice detection took for speech may rightly yield no words."""

_PHRASE_PAUSE_SECONDS = 0.8
_PHRASE_LONGEST_SECONDS = 12.0
_PHRASE_ENDS = (".", "?", "!", "…", "。", "？", "！")  # noqa: RUF001 - full-width marks are meant


def divide_piece(text: str, start: float, end: float, probability: float, *, spaced: bool) -> list[Word]:
    """The words of a piece of text that whisper.cpp took for one, or none where it has no text.

    Without spaces whisper.cpp cannot tell words apart: each character gets its share of the time.
    """
    text = text.strip()
    if not text:
        return []
    if spaced:
        return [Word(text, start, end, probability)]
    step = (end - start) / len(text)
    return [
        Word(character, start + step * place, start + step * (place + 1), probability, spaced=False)
        for place, character in enumerate(text)
    ]


def known_language(named: str) -> str:
    """The code of a language that a service names somehow; empty where it names none, or one that Whisper has not."""
    try:
        return parse_language(named)
    except UnknownLanguage:
        return ""


def join_phrases(words: Sequence[Word]) -> list[Segment]:
    """Join words into phrases, which end at a full stop, a pause, or when they get long."""
    if not words:
        return []
    segments = []
    begin = 0
    for place, (word, following) in enumerate(pairwise(words), 1):
        ended = word.text.endswith(_PHRASE_ENDS) or following.start - word.end > _PHRASE_PAUSE_SECONDS
        if ended or following.end - words[begin].start > _PHRASE_LONGEST_SECONDS:
            segments.append(_phrase(words[begin:place]))
            begin = place
    segments.append(_phrase(words[begin:]))
    return segments


def make_result(
    chunk: Chunk, segments: Iterable[Segment], language: str, language_probability: float, seconds: float
) -> EngineResult:
    """What another machine heard in a chunk, its times kept inside it, whatever it answered.

    Raises:
        EngineEmptyResult: no text although there surely was speech.
    """
    inside = keep_inside(segments, chunk.speech_seconds)
    if not inside and chunk.speech_seconds >= SURELY_SPEECH_SECONDS:
        raise EngineEmptyResult
    return EngineResult(tuple(inside), language, language_probability, seconds)


def keep_inside(segments: Iterable[Segment], limit: float) -> list[Segment]:
    """Those with text, in the order of their times, which lie between 0 and a limit of seconds."""
    inside = [_within(segment, limit) for segment in segments if segment.text.strip()]
    return sorted(inside, key=lambda segment: segment.start)


def _phrase(words: Sequence[Word]) -> Segment:
    probability = sum(word.probability for word in words) / len(words)
    return Segment(words[0].start, words[-1].end, join_words(words), tuple(words), probability)


def _within(segment: Segment, limit: float) -> Segment:
    start, end = _span(segment.start, segment.end, limit)
    words = []
    for word in segment.words:
        first, last = _span(word.start, word.end, limit)
        words.append(replace(word, start=first, end=last))
    words.sort(key=lambda word: word.start)
    return replace(segment, start=start, end=end, words=tuple(words))


def _span(start: float, end: float, limit: float) -> tuple[float, float]:
    start = min(max(start, 0.0), limit)
    return start, min(max(end, start), limit)
