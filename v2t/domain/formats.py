"""Renders a transcript as text, subtitles, tables or JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum

from v2t.domain.languages import is_spaced
from v2t.domain.subtitles import Cue, SubtitleLimits, cut_cues
from v2t.domain.transcript import Segment, Transcript, to_document
from v2t.domain.words import PAUSE_SECONDS, join_words, split_at_pauses

_DEFAULT_LIMITS = SubtitleLimits()


class Format(StrEnum):
    """What a transcript can be rendered as."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"
    TSV = "tsv"
    LRC = "lrc"

    @property
    def suffix(self) -> str:
        """The file name suffix, with its dot."""
        return f".{self.value}"


def render(transcript: Transcript, format: Format, limits: SubtitleLimits = _DEFAULT_LIMITS) -> str:  # noqa: A002 the word users know
    """The whole content of a file in `format`, ending in a newline unless it is empty.

    `limits` shape the cues of SRT and VTT, and the width and timing of the lines of LRC.
    """
    match format:
        case Format.TXT:
            return _render_txt(transcript)
        case Format.SRT:
            return _render_srt(cut_cues(transcript, limits))
        case Format.VTT:
            return _render_vtt(cut_cues(transcript, limits))
        case Format.JSON:
            return json.dumps(to_document(transcript), ensure_ascii=False, indent=2) + "\n"
        case Format.TSV:
            return _render_tsv(transcript)
        case Format.LRC:
            return _render_lrc(transcript, replace(limits, max_lines=1))


def _render_txt(transcript: Transcript) -> str:
    """One paragraph of a single line for each stretch of speech without a long pause, blank lines between."""
    spaced = transcript.translated or is_spaced(transcript.language or "")
    paragraphs: list[list[str]] = []
    previous_end = float("-inf")
    for start, end, text in (stretch for segment in transcript.segments for stretch in _stretches(segment)):
        if start - previous_end > PAUSE_SECONDS:
            paragraphs.append([])
        paragraphs[-1].append(text)
        previous_end = end
    joint = " " if spaced else ""
    return "\n".join(joint.join(paragraph) + "\n" for paragraph in paragraphs)


def _stretches(segment: Segment) -> list[tuple[float, float, str]]:
    """Start, end and text of a segment, divided at long pauses between its words."""
    groups = split_at_pauses(segment.words)
    if len(groups) > 1:
        return [(group[0].start, group[-1].end, _one_line(join_words(group))) for group in groups]
    text = _one_line(segment.text)
    return [(segment.start, segment.end, text)] if text else []


def _render_srt(cues: list[Cue]) -> str:
    """SubRip has no escapes: an arrow in the text becomes "->", as openai-whisper writes it."""
    blocks = []
    for number, cue in enumerate(cues, start=1):
        times = f"{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}"
        blocks.append(f"{number}\n{times}\n" + "\n".join(cue.lines).replace("-->", "->") + "\n")
    return "\n".join(blocks)


def _render_vtt(cues: list[Cue]) -> str:
    """WebVTT (W3C); with `>` escaped no text holds an arrow."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        text = "\n".join(cue.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{text}\n")
    return "\n".join(blocks)


def _render_tsv(transcript: Transcript) -> str:
    """One line a segment, times in whole milliseconds, as openai-whisper writes it."""
    rows = (
        f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{_one_line(segment.text)}\n"
        for segment in transcript.segments
    )
    return "start\tend\ttext\n" + "".join(rows)


def _render_lrc(transcript: Transcript, limits: SubtitleLimits) -> str:
    """Lyrics: a line appears at its time and stays until the next one."""
    minutes, seconds = divmod(round(transcript.duration_seconds), 60)
    lines = [f"[re:v2t]\n[length:{minutes:02}:{seconds:02}]\n"]
    for cue in cut_cues(transcript, limits):
        minutes, milliseconds = divmod(cue.start_ms, 60_000)
        seconds, hundredths = divmod(milliseconds // 10, 100)
        lines.append(f"[{minutes:02}:{seconds:02}.{hundredths:02}]{cue.lines[0]}\n")
    return "".join(lines)


def _clock(milliseconds: int, decimal_mark: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal_mark}{milliseconds:03}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
