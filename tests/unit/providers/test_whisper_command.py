from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.config.ssh_whisper import SshWhisperSettings
from v2t.domain.errors import ProviderFailed, ProviderRejected
from v2t.domain.jobs import TranscribeOptions
from v2t.providers.whisper_command import (
    build_command,
    model_file,
    parse_output,
    quote,
    read_language_probability,
    read_progress,
)

WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=5)
ENGLISH = TranscribeOptions(language="en")


def build(options: TranscribeOptions = ENGLISH, **changes: Any) -> list[str]:
    settings = SshWhisperSettings(**changes)
    model = model_file(settings, options.model)
    return build_command(settings, options, model=model, audio="/w/a.wav", output="/w/heard")


def parse(content: bytes, options: TranscribeOptions, detected: float | None = None) -> Any:
    return parse_output(content, options, detected, "mend the command")


def document(*segments: dict[str, Any], language: str = "en") -> bytes:
    return json.dumps({"result": {"language": language}, "transcription": list(segments)}).encode()


def segment(text: str, start: int, end: int, *tokens: tuple[str, int, int]) -> dict[str, Any]:
    """As whisper-cli -ojf writes one; times in milliseconds."""
    return {
        "offsets": {"from": start, "to": end},
        "text": text,
        "tokens": [{"text": text, "offsets": {"from": a, "to": b}, "id": 1, "p": 0.5} for text, a, b in tokens],
    }


@given(WORDS)
def test_a_shell_gets_back_the_words_that_were_quoted(words: list[str]) -> None:
    line = quote(["printf", "%s\\0", "first", *words])
    said = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True).stdout
    assert said.decode().split("\0")[:-1] == ["first", *words]


def test_a_word_with_nul_is_refused_before_it_reaches_a_shell() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote(["echo", "a\0b"])


def test_the_default_command_is_whisper_cli_with_words_and_progress() -> None:
    assert build() == [
        *("whisper-cli", "-m", "/var/lib/whisper/ggml-base.bin", "-f", "/w/a.wav", "-l", "en", "-t", "4"),
        *("-bs", "1", "-mc", "0", "-sns", "-ojf", "-of", "/w/heard", "-pp"),
    ]


def test_what_the_job_asks_for_is_added_to_the_command() -> None:
    words = build(TranscribeOptions(translate=True, prompt="{model} it's; $HOME"))
    assert words[words.index("-l") + 1] == "auto"
    assert words[-5:] == ["-tr", "-mc", "224", "--prompt", "{model} it's; $HOME"]


def test_a_command_that_cannot_translate_is_not_asked_to() -> None:
    with pytest.raises(ProviderRejected, match="translate_arguments"):
        build(TranscribeOptions(translate=True), translate_arguments=())
    assert "--prompt" not in build(TranscribeOptions(prompt="names"), prompt_arguments=())


def test_the_name_of_a_model_stays_in_the_folder_of_models() -> None:
    settings = SshWhisperSettings(model_path="/m/ggml-{name}.bin")
    assert model_file(settings, "large-v3") == "/m/ggml-large-v3.bin"
    for name in ("../../etc/passwd", "a/b", "..", "", "a\0"):
        with pytest.raises(ProviderRejected):
            model_file(settings, name)
    assert model_file(SshWhisperSettings(model_path="/m/the-only.bin"), "anything/at/all") == "/m/the-only.bin"


@pytest.mark.parametrize(
    ("line", "fraction"),
    [
        ("whisper_print_progress_callback: progress =   5%", 0.05),
        ("progress = 100%", 1.0),
        ("progress = 250%", 1.0),
        ("no progress = %", None),
    ],
)
def test_progress_is_read_from_what_whisper_cli_says(line: str, fraction: float | None) -> None:
    assert read_progress(line) == fraction


def test_how_sure_it_is_of_the_language_is_read_too() -> None:
    line = "whisper_full_with_state: auto-detected language: de (p = 0.973125)"
    assert read_language_probability(line) == pytest.approx(0.973125)
    assert read_language_probability("main: processing 'a.wav', lang = auto") is None


def test_tokens_become_words_and_marks_stay_with_the_word_before() -> None:
    content = document(
        segment(
            " Don't stop, please.",
            0,
            2000,
            ("[_BEG_]", 0, 0),
            (" Don", 0, 200),
            ("'t", 200, 300),
            (" stop", 300, 900),
            (",", 900, 1000),
            (" please", 1000, 1900),
            (".", 1900, 2000),
            ("[_TT_100]", 2000, 2000),
        )
    )
    ((heard,), language, probability) = parse(content, ENGLISH)
    assert [(word.text, word.start, word.end) for word in heard.words] == [
        ("Don't", 0.0, 0.3),
        ("stop,", 0.3, 1.0),
        ("please.", 1.0, 2.0),
    ]
    assert heard.text == "Don't stop, please."
    assert (language, probability, heard.probability) == ("en", 1.0, 0.5)


def test_languages_without_spaces_give_each_character_its_time() -> None:
    content = document(segment("你好吗", 0, 900, ("你好", 0, 600), ("吗", 600, 900)), language="zh")
    ((heard,), language, probability) = parse(content, TranscribeOptions(), 0.8)
    assert [(word.text, word.start, word.spaced) for word in heard.words] == [
        ("你", 0.0, False),
        ("好", 0.3, False),
        ("吗", 0.6, False),
    ]
    assert (heard.text, language, probability) == ("你好吗", "zh", 0.8)


def test_a_translation_has_spaces_whatever_was_spoken() -> None:
    content = document(segment(" How are you", 0, 900, (" How", 0, 300), (" are", 300, 600), (" you", 600, 900)))
    options = TranscribeOptions(language="ja", translate=True)
    assert [word.text for word in parse(content, options)[0][0].words] == ["How", "are", "you"]


def test_without_tokens_there_are_segments_without_words() -> None:
    plain = {"offsets": {"from": 500, "to": 1500}, "text": " Hello."}
    ((heard,), _, _) = parse(document(plain, {"offsets": {"from": 0, "to": 0}, "text": " "}), ENGLISH)
    assert (heard.start, heard.end, heard.text, heard.words) == (0.5, 1.5, "Hello.", ())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"result": {"language": "klingon"}, "transcription": []}',
        b'{"result": {"language": "en"}, "transcription": [{"text": " a"}]}',
        b'{"result": {"language": "en"}, "transcription": [{"text": "a", "tokens": [{"offsets": 1, "text": "a"}]}]}',
        b'{"result": {"language": "en"}, "transcription": 3}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_its_json_is_a_failure_that_may_pass(content: bytes) -> None:
    with pytest.raises(ProviderFailed, match="mend the command") as caught:
        parse(content, TranscribeOptions())
    assert caught.value.retryable


def test_a_broken_character_costs_that_character_only() -> None:
    content = document(segment(" ab", 0, 900, (" ab", 0, 900))).replace(b" ab", b" \xe4b")
    assert parse(content, ENGLISH)[0][0].text == "\ufffdb"
