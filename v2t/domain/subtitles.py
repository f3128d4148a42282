"""Cuts a transcript's words into subtitles that can be read.

Where cues begin is chosen for a whole phrase at once, by dynamic programming over the cost of each possible cue,
as Knuth and Plass choose line breaks ("Breaking Paragraphs into Lines", 1981). Times are whole milliseconds inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from v2t.domain.errors import UsageError
from v2t.domain.transcript import Transcript
from v2t.domain.words import PAUSE_SECONDS, count_columns, may_break, words_of

_LONG_PAUSE_MS = round(1000 * PAUSE_SECONDS)
_PAUSE_MS = 500  # a pause that is heard as the end of a phrase

# What a cut costs; only their proportions matter. A violated limit outweighs any sum of the others.
_CUT_AFTER_SENTENCE = 0.0
_CUT_AT_PAUSE = 1.0
_CUT_AT_SEGMENT = 2.0
_CUT_AFTER_CLAUSE = 3.0
_CUT_ELSEWHERE = 10.0
_CARRY_OVER_SENTENCE = 6.0  # one cue holding the end of a sentence and the next one's beginning
_CARRY_OVER_PAUSE = 4.0
_ANY_CUE = 3.0  # so that cues are not cut without need
_RAGGED = 2.0  # an almost empty cue
_UNBALANCED = 40.0  # lines of one cue far from equal
_VIOLATION = 1000.0  # for each column shown too briefly: where all is too fast, cutting elsewhere gains nothing

_SENTENCE_END = (".", "!", "?", "…", "。", "！", "？", "｡", "؟", "।", "။", "።")  # noqa: RUF001 of any script
_CLAUSE_END = (",", ";", ":", "、", "，", "；", "：", "､", "،", "؛", "—", "–")  # noqa: RUF001
_CLOSING = "\"'”’»)]」』）】"  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class SubtitleLimits:
    """What a reader can follow.

    The defaults are those of Netflix's Timed Text Style Guide (General Requirements: 5/6 to 7 seconds, 2 lines,
    2 frames between cues, here of 24 a second; English: 42 characters a line, 20 a second). Characters are counted
    in columns, a full-width one as 2, which comes near the guide's limits for Chinese, Japanese and Korean.

    Raises:
        UsageError: a limit that no subtitle can meet.
    """

    max_line_width: int = 42  # columns
    max_lines: int = 2
    max_characters_per_second: float = 20.0
    min_duration_seconds: float = 5 / 6
    max_duration_seconds: float = 7.0
    min_gap_seconds: float = 2 / 24

    def __post_init__(self) -> None:
        if min(self.max_line_width, self.max_lines) < 1:
            raise UsageError("subtitles need at least 1 line of 1 character")
        if not (0 <= self.min_duration_seconds <= self.max_duration_seconds and self.max_duration_seconds > 0):
            raise UsageError("a subtitle's minimum duration must not be over its maximum, which must be over 0")
        if self.max_characters_per_second <= 0 or self.min_gap_seconds < 0:
            raise UsageError("the reading speed must be over 0 and the gap between subtitles not under 0")


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle; times are milliseconds from the start of the source."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


@dataclass(slots=True)
class _Unit:
    """Text that is never divided: a word, with what stands unspaced around it."""

    text: str
    columns: int
    spaced: bool
    start: int
    end: int
    cut: float = _CUT_ELSEWHERE  # cost of ending a cue or line after it
    carry: float = 0.0  # cost of going on after it in the same cue


def cut_cues(transcript: Transcript, limits: SubtitleLimits) -> list[Cue]:
    """Cut a transcript into cues: in order, not overlapping, inside the source, every word in exactly one.

    A limit is exceeded only where the words leave no other way: a word wider than a line, speech faster than the
    reading speed with no silence after it. Text that is too fast stays on screen into the following silence.
    """
    units = _units(transcript, limits)
    source_end = round(1000 * transcript.duration_seconds) or (units[-1].end if units else 0)
    _place_inside(units, source_end)
    cutter = _Cutter(limits)
    cues: list[Cue] = []
    for first, last in _phrases(units):
        following = units[last].start if last < len(units) else source_end + cutter.min_gap
        cues.extend(cutter.cut(units[first:last], following))
    return cues


def _units(transcript: Transcript, limits: SubtitleLimits) -> list[_Unit]:
    units: list[_Unit] = []
    for segment in transcript.segments:
        for word in words_of(segment):
            text = " ".join(word.text.split())
            if not text:
                continue
            unit = _Unit(text, count_columns(text), word.spaced, round(1000 * word.start), round(1000 * word.end))
            if units and _is_glued(units[-1], unit, limits.max_line_width):
                units[-1].text += unit.text
                units[-1].columns += unit.columns
                units[-1].end = unit.end
            else:
                units.append(unit)
        if units:
            units[-1].cut = _CUT_AT_SEGMENT
    return units


def _is_glued(before: _Unit, unit: _Unit, max_line_width: int) -> bool:
    """Whether a line must not end between them: "twenty" and "-five", a word and its full stop."""
    if unit.spaced or may_break(before.text, unit.text):
        return False
    return before.columns + unit.columns <= max_line_width and unit.start - before.end <= _PAUSE_MS


def _place_inside(units: list[_Unit], source_end: int) -> None:
    """Make starts grow by at least 1 ms and keep all times inside the source; set the costs of cutting."""
    ceiling = source_end
    for unit in reversed(units):
        unit.start = max(0, min(unit.start, ceiling - 1))
        ceiling = unit.start
    floor = 0
    for unit in units:
        unit.start = max(unit.start, floor)
        unit.end = max(unit.start + 1, min(unit.end, source_end))
        floor = unit.start + 1
    for unit, following in pairwise(units):
        pause = following.start - unit.end
        ending = unit.text.rstrip(_CLOSING)
        if ending.endswith(_SENTENCE_END) and not following.text[0].islower():
            unit.cut, unit.carry = _CUT_AFTER_SENTENCE, _CARRY_OVER_SENTENCE
        elif pause >= _PAUSE_MS:
            unit.cut, unit.carry = _CUT_AT_PAUSE, _CARRY_OVER_PAUSE
        elif ending.endswith(_CLAUSE_END):
            unit.cut = min(unit.cut, _CUT_AFTER_CLAUSE)


def _phrases(units: Sequence[_Unit]) -> Iterator[tuple[int, int]]:
    """Index ranges of units without a long pause inside: no cue lasts over one."""
    first = 0
    for index in range(1, len(units) + 1):
        if index == len(units) or units[index].start - units[index - 1].end > _LONG_PAUSE_MS:
            yield first, index
            first = index


class _Cutter:
    """The limits in milliseconds, and the choice of cuts under them."""

    def __init__(self, limits: SubtitleLimits) -> None:
        self.max_line_width = limits.max_line_width
        self.max_lines = limits.max_lines
        self.capacity = limits.max_line_width * limits.max_lines
        self.columns_per_ms = limits.max_characters_per_second / 1000
        self.min_duration = math.ceil(1000 * limits.min_duration_seconds)
        self.max_duration = math.floor(1000 * limits.max_duration_seconds)
        self.quick_columns = math.floor(self.min_duration * self.columns_per_ms)
        self.min_gap = math.ceil(1000 * limits.min_gap_seconds)

    def cut(self, units: Sequence[_Unit], following: int) -> list[Cue]:
        """Cut one phrase; `following` is when the next phrase starts."""
        starts = [unit.start for unit in units[1:]] + [following]
        cues = []
        for first, last in self._choose(units, starts):
            held = units[first : last + 1]
            end = self._end(held[0].start, held[-1].end, _total_columns(held), starts[last])
            cues.append(Cue(held[0].start, end, self._lines(held)))
        return cues

    def _choose(self, units: Sequence[_Unit], starts: Sequence[int]) -> list[tuple[int, int]]:
        """The cheapest division: first and last unit of each cue. `starts[i]` is when what follows unit i starts."""
        count = len(units)
        cheapest = [math.inf] * (count + 1)
        cheapest[0] = 0.0
        previous = [0] * (count + 1)
        for first in range(count):
            for last, cost in self._costs_from(first, units, starts):
                if cheapest[first] + cost < cheapest[last + 1]:
                    cheapest[last + 1] = cheapest[first] + cost
                    previous[last + 1] = first
        cues = []
        while count:
            cues.append((previous[count], count - 1))
            count = previous[count]
        return cues[::-1]

    def _costs_from(self, first: int, units: Sequence[_Unit], starts: Sequence[int]) -> Iterator[tuple[int, float]]:
        """The cost of every cue that begins at `first`, by its last unit; the single unit always counts as one."""
        start = units[first].start
        lines, column, columns, letters, carried = 1, 0, 0, 0, 0.0
        for last in range(first, len(units)):
            unit = units[last]
            lines, column = self._fill(lines, column, unit)
            letters += unit.columns
            columns += unit.columns + (unit.spaced and last > first)
            if last > first and (lines > self.max_lines or unit.end - start > self.max_duration):
                return
            cost = _ANY_CUE + carried + unit.cut
            if columns < self.capacity:
                cost += _RAGGED * (1 - columns / self.capacity) ** 2
            room = min(starts[last] - self.min_gap - start, self.max_duration)
            missing = self._needed(columns) - room
            if missing > 0:
                flash = self.max_line_width if room < self.min_duration else 0
                cost += _VIOLATION * max(letters, flash) + missing / 100
            yield last, cost
            carried += unit.carry

    def _needed(self, columns: int) -> int:
        """How long so much text has to stand, in milliseconds."""
        if columns <= self.quick_columns:
            return self.min_duration
        return math.ceil(columns / self.columns_per_ms)

    def _end(self, start: int, spoken_end: int, columns: int, following: int) -> int:
        """When a cue disappears: long enough to be read, but before the next one's gap."""
        wanted = min(max(spoken_end, start + self._needed(columns)), start + self.max_duration)
        latest = following - self.min_gap
        return max(start + 1, min(wanted, latest if latest > start else following))

    def _fill(self, lines: int, column: int, unit: _Unit) -> tuple[int, int]:
        """Where the last line stands, and how many there are, after one more unit."""
        if not column:
            return lines, unit.columns
        wider = column + unit.spaced + unit.columns
        return (lines, wider) if wider <= self.max_line_width else (lines + 1, unit.columns)

    def _lines(self, units: Sequence[_Unit]) -> tuple[str, ...]:
        """Lay a cue out on as few lines as it fits, about equally full, broken at punctuation where that is near."""
        fewest, column = 1, 0
        for unit in units:
            fewest, column = self._fill(fewest, column, unit)
        if fewest == 1:
            return (_join(units),)
        target = _total_columns(units) / fewest

        @cache
        def layout(first: int, lines: int) -> tuple[float, tuple[int, ...]]:
            """The cost and line ends of the best layout of `units[first:]` on so many lines."""
            if lines == 1:
                return self._line_cost(units[first:], target), (len(units),)
            options = []
            for end in range(first + 1, len(units) - lines + 2):
                rest, ends = layout(end, lines - 1)
                options.append((self._line_cost(units[first:end], target) + units[end - 1].cut + rest, (end, *ends)))
            return min(options)

        ends = layout(0, fewest)[1]
        return tuple(_join(units[first:end]) for first, end in zip((0, *ends), ends, strict=False))

    def _line_cost(self, units: Sequence[_Unit], target: float) -> float:
        columns = _total_columns(units)
        if columns > self.max_line_width and len(units) > 1:
            return math.inf
        return float(_UNBALANCED * ((columns - target) / self.max_line_width) ** 2)


def _total_columns(units: Sequence[_Unit]) -> int:
    return sum(unit.columns + unit.spaced for unit in units) - units[0].spaced


def _join(units: Sequence[_Unit]) -> str:
    return "".join(f" {unit.text}" if unit.spaced else unit.text for unit in units).strip()
