"""Words in time: joined to text, divided at pauses, guessed where an engine gave none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from v2t.domain.transcript import Segment, Word

PAUSE_SECONDS = 2.0
"""A silence longer than this ends a segment, a paragraph and a subtitle."""

# Thai, Lao, Tibetan, Burmese, Khmer, kana with its iteration marks, Han: written without spaces between words.
_UNSPACED_SCRIPTS = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED_SCRIPTS}]")
_WIDE_PUNCTUATION = "\u3001-\u3003\u3008-\u303f\uff01-\uff65"
_TOKEN = re.compile(f"[{_UNSPACED_SCRIPTS}{_WIDE_PUNCTUATION}]|[^\\s{_UNSPACED_SCRIPTS}{_WIDE_PUNCTUATION}]+")

_ATTACHED_BEFORE = {"Pe", "Pf", "Po", "Lm", "Mn", "Mc", "Me"}  # closing punctuation, length and combining marks
_ATTACHED_AFTER = {"Ps", "Pi"}  # opening punctuation
_NEVER_FIRST = frozenset("ะาำๅະາຳຽぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ")  # vowels written after, small kana
_NEVER_LAST = frozenset("เแโใไເແໂໃໄ")  # vowels written before their consonant
_NO_COLUMN = {"Mn", "Me", "Cf"}  # combining marks and invisible format characters


def join_words(words: Iterable[Word]) -> str:
    """The words as running text, spaces only where they stand in speech."""
    return "".join(f" {word.text}" if word.spaced else word.text for word in words).strip()


def split_at_pauses(words: Sequence[Word], pause_seconds: float = PAUSE_SECONDS) -> list[tuple[Word, ...]]:
    """Divide words, in order, wherever more than `pause_seconds` of silence lies between two of them."""
    groups: list[list[Word]] = []
    for word in words:
        if groups and word.start - groups[-1][-1].end <= pause_seconds:
            groups[-1].append(word)
        else:
            groups.append([word])
    return [tuple(group) for group in groups]


def words_of(segment: Segment) -> tuple[Word, ...]:
    """The segment's words; without any, its text divided and timed in proportion to its columns."""
    if segment.words:
        return segment.words
    tokens = divide_text(segment.text)
    widths = [max(1, count_columns(text)) for text, _ in tokens]
    scale = max(0.0, segment.end - segment.start) / (sum(widths) or 1)
    words = []
    passed = 0
    for (text, spaced), width in zip(tokens, widths, strict=True):
        start = segment.start + passed * scale
        passed += width
        words.append(Word(text, start, segment.start + passed * scale, segment.probability, spaced))
    return tuple(words)


def divide_text(text: str) -> list[tuple[str, bool]]:
    """Divide text into the smallest parts that lines may break between, each with whether a space stands before it.

    Parts are words, or single characters in scripts without spaces; punctuation stays with its neighbour.
    """
    parts: list[tuple[str, bool]] = []
    end = 0
    for match in _TOKEN.finditer(text):
        token, spaced = match.group(), match.start() > end or not parts
        if not spaced and not may_break(parts[-1][0], token):
            parts[-1] = (parts[-1][0] + token, parts[-1][1])
        else:
            parts.append((token, spaced))
        end = match.end()
    return parts


def may_break(before: str, after: str) -> bool:
    """Whether a line may break between two texts that no space divides.

    Only beside a character of a script without spaces, never before closing punctuation or after opening
    punctuation: the core of the Japanese kinsoku rules (W3C, "Requirements for Japanese Text Layout", 3.1.7).
    """
    last, first = before[-1], after[0]
    if first in _NEVER_FIRST or unicodedata.category(first) in _ATTACHED_BEFORE:
        return False
    if last in _NEVER_LAST or unicodedata.category(last) in _ATTACHED_AFTER:
        return False
    return bool(_UNSPACED_CHARACTER.match(last) or _UNSPACED_CHARACTER.match(first) or _is_wide_closing(last))


def count_columns(text: str) -> int:
    """Columns on screen: 2 for a full-width character (Unicode annex 11), none for a combining mark."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in _NO_COLUMN:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _is_wide_closing(character: str) -> bool:
    return unicodedata.category(character) in _ATTACHED_BEFORE and _columns(character) == 2
