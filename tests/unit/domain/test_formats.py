from __future__ import annotations

import html
import json
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.formats import Format, render
from v2t.domain.subtitles import SubtitleLimits, cut_cues
from v2t.domain.transcript import Segment, Transcript, Word, from_document

ParsedCue = tuple[int, int, tuple[str, ...]]

SPEECH = Transcript(
    3725.0,
    (
        Segment(0.5, 2.0, " Hello,", (Word("Hello,", 0.5, 2.0, 0.9),)),
        Segment(2.1, 3.0, "world.", (Word("world.", 2.1, 3.0, 0.9),)),
        Segment(
            3661.2,
            3662.7,
            "An hour later.",
            tuple(Word(w, 3661.2 + i / 2, 3661.7 + i / 2, 0.9) for i, w in enumerate(["An", "hour", "later."])),
        ),
    ),
    language="en",
)


def milliseconds(text: str, mark: str) -> int:
    found = re.fullmatch(rf"(\d\d+):([0-5]\d):([0-5]\d){re.escape(mark)}(\d\d\d)", text)
    assert found, text
    hours, minutes, seconds, rest = map(int, found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def parse_blocks(blocks: list[list[str]], mark: str) -> list[ParsedCue]:
    cues = []
    for times, *text in blocks:
        start, arrow, end = times.split(" ")
        assert arrow == "-->"
        assert text
        cues.append((milliseconds(start, mark), milliseconds(end, mark), tuple(text)))
    return cues


def parse_srt(content: str) -> list[ParsedCue]:
    blocks = [block.split("\n") for block in content.removesuffix("\n").split("\n\n")] if content else []
    assert [block[0] for block in blocks] == [str(number) for number in range(1, len(blocks) + 1)]
    return parse_blocks([block[1:] for block in blocks], ",")


def parse_vtt(content: str) -> list[ParsedCue]:
    header, *blocks = content.removesuffix("\n").split("\n\n")
    assert header == "WEBVTT"
    for block in blocks:
        _, *text = block.split("\n")
        assert not any("-->" in line or "<" in line for line in text)
    cues = parse_blocks([block.split("\n") for block in blocks], ".")
    return [(start, end, tuple(html.unescape(line) for line in text)) for start, end, text in cues]


def test_txt_has_a_paragraph_for_each_stretch_of_speech() -> None:
    assert render(SPEECH, Format.TXT) == "Hello, world.\n\nAn hour later.\n"


def test_txt_divides_a_segment_at_a_long_pause_inside_it() -> None:
    words = (Word("Before.", 0.0, 1.0, 0.9), Word("After.", 5.0, 6.0, 0.9))
    assert render(Transcript(6.0, (Segment(0.0, 6.0, "Before. After.", words),)), Format.TXT) == "Before.\n\nAfter.\n"


def test_txt_puts_no_spaces_between_chinese_segments_unless_translated() -> None:
    segments = (Segment(0, 1, "你好。"), Segment(1, 2, "再见。"))
    assert render(Transcript(2.0, segments, language="zh"), Format.TXT) == "你好。再见。\n"
    translated = (Segment(0, 1, "Hello."), Segment(1, 2, "Bye."))
    assert render(Transcript(2.0, translated, language="zh", translated=True), Format.TXT) == "Hello. Bye.\n"


def test_srt_is_numbered_with_a_comma_in_its_times() -> None:
    assert render(SPEECH, Format.SRT) == (
        "1\n00:00:00,500 --> 00:00:03,000\nHello, world.\n\n2\n01:01:01,200 --> 01:01:02,700\nAn hour later.\n"
    )


def test_vtt_has_its_header_and_a_point_in_its_times() -> None:
    assert render(SPEECH, Format.VTT) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:03.000\nHello, world.\n\n01:01:01.200 --> 01:01:02.700\nAn hour later.\n"
    )


def test_tsv_has_a_row_for_each_segment_in_milliseconds() -> None:
    odd = Segment(4.0, 5.0015, "tab\there\nand there")
    assert render(Transcript(9.0, (*SPEECH.segments[:2], odd)), Format.TSV) == (
        "start\tend\ttext\n500\t2000\tHello,\n2100\t3000\tworld.\n4000\t5002\ttab here and there\n"
    )


def test_lrc_has_its_headers_and_one_line_for_each_time() -> None:
    assert render(SPEECH, Format.LRC) == (
        "[re:v2t]\n[length:62:05]\n[00:00.50]Hello, world.\n[61:01.20]An hour later.\n"
    )


def test_json_is_the_stored_document_and_readable_as_it_stands() -> None:
    transcript = Transcript(1.0, (Segment(0, 1, "Grüße, 世界"),))
    content = render(transcript, Format.JSON)
    assert "Grüße, 世界" in content
    assert content.endswith("}\n")
    assert from_document(json.loads(content)) == transcript


def test_markup_in_speech_does_not_become_markup_in_subtitles() -> None:
    words = tuple(
        Word(text, at, at + 1.0, 0.9) for at, text in enumerate(["a<b>", "&amp;", "-->", "00:01", "x\n\n2\ny"])
    )
    source = Transcript(6.0, (Segment(0.0, 5.0, "unused", words),))
    assert " ".join(line for cue in parse_vtt(render(source, Format.VTT)) for line in cue[2]) == (
        "a<b> &amp; --> 00:01 x 2 y"
    )
    assert " ".join(line for cue in parse_srt(render(source, Format.SRT)) for line in cue[2]) == (
        "a<b> &amp; -> 00:01 x 2 y"
    )


@pytest.mark.parametrize(
    ("wanted", "content"),
    [
        (Format.TXT, ""),
        (Format.SRT, ""),
        (Format.VTT, "WEBVTT\n"),
        (Format.TSV, "start\tend\ttext\n"),
        (Format.LRC, "[re:v2t]\n[length:00:10]\n"),
    ],
)
def test_silence_renders_as_a_valid_empty_file(wanted: Format, content: str) -> None:
    assert render(Transcript(10.0), wanted) == content


@pytest.mark.parametrize("wanted", Format)
def test_the_suffix_is_the_name_of_the_format(wanted: Format) -> None:
    assert wanted.suffix == f".{wanted}"
    assert Format(wanted.suffix[1:]) is wanted


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Any text that an engine may give, at sane times."""
    clock = 0.0
    segments = []
    for _ in range(draw(st.integers(0, 4))):
        words = []
        for text in draw(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8)):
            clock += draw(st.sampled_from([0.0, 0.1, 0.8, 4.0]))
            words.append(Word(text, clock, clock + 0.4, 0.9, draw(st.booleans())))
            clock += 0.4
        known = draw(st.booleans())
        text = " ".join(word.text for word in words)
        segments.append(Segment(words[0].start, words[-1].end, text, tuple(words) if known else ()))
    return Transcript(clock + 1.0, tuple(segments))


@given(transcripts(), st.integers(1, 60), st.integers(1, 3))
def test_subtitles_of_any_text_read_back_as_they_were_cut(source: Transcript, width: int, lines: int) -> None:
    limits = SubtitleLimits(max_line_width=width, max_lines=lines)
    cut = [(cue.start_ms, cue.end_ms, cue.lines) for cue in cut_cues(source, limits)]
    assert parse_vtt(render(source, Format.VTT, limits)) == cut
    assert parse_srt(render(source, Format.SRT, limits)) == [
        (start, end, tuple(line.replace("-->", "->") for line in text)) for start, end, text in cut
    ]


@given(transcripts())
def test_tables_of_any_text_have_three_columns_and_a_row_for_each_segment(source: Transcript) -> None:
    rows = render(source, Format.TSV).removesuffix("\n").split("\n")
    assert len(rows) == 1 + len(source.segments)
    assert all(len(row.split("\t")) == 3 for row in rows)


@given(transcripts())
def test_lyrics_of_any_text_have_growing_times(source: Transcript) -> None:
    lines = render(source, Format.LRC).removesuffix("\n").split("\n")[2:]
    stamps = []
    for line in lines:
        found = re.match(r"\[(\d\d+):([0-5]\d)\.(\d\d)\]", line)
        assert found
        minutes, seconds, hundredths = map(int, found.groups())
        stamps.append(minutes * 6000 + seconds * 100 + hundredths)
    assert all(before <= after for before, after in pairwise(stamps))


@given(transcripts())
def test_plain_text_of_any_text_keeps_every_word(source: Transcript) -> None:
    expected = "".join("".join(segment.text.split()) for segment in source.segments)
    assert "".join(render(source, Format.TXT).split()) == expected


def test_rendering_takes_time_in_proportion_to_the_words() -> None:
    def measure(count: int) -> float:
        words = tuple(Word("word," if at % 9 else "End.", at * 0.36, at * 0.36 + 0.3, 0.9) for at in range(count))
        source = Transcript(count * 0.36, (Segment(0.0, count * 0.36, "", words),))
        before = time.process_time()
        render(source, Format.SRT)
        return time.process_time() - before

    measure(100)
    assert measure(16_000) < 64 * measure(1000)  # 16 times if in proportion, 256 times if by the square
