from __future__ import annotations

import pytest

from v2t.domain.errors import UnknownLanguage
from v2t.domain.languages import LANGUAGES, is_spaced, parse_language


def test_there_are_the_hundred_languages_of_whisper() -> None:
    assert len(LANGUAGES) == 100
    assert len(set(LANGUAGES.values())) == 100


def test_they_are_those_that_faster_whisper_accepts() -> None:
    tokenizer = pytest.importorskip("faster_whisper.tokenizer")
    assert set(LANGUAGES) == set(tokenizer._LANGUAGE_CODES)


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_code_and_name_is_understood_in_any_case(code: str) -> None:
    name = LANGUAGES[code]
    for spelling in (code, code.upper(), name, name.lower(), name.upper(), f"  {name} "):
        assert parse_language(spelling) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Mandarin", "zh"),
        ("castilian", "es"),
        ("Flemish", "nl"),
        ("haitian", "ht"),
        ("Haitian  Creole", "ht"),
        ("pt-BR", "pt"),
        ("zh_CN", "zh"),
        ("en-us", "en"),
        ("jv", "jw"),
        ("nb-NO", "no"),
    ],
)
def test_aliases_and_regions_are_understood(text: str, code: str) -> None:
    assert parse_language(text) == code


@pytest.mark.parametrize("text", ["", "auto", "AUTO", " Auto "])
def test_automatic_detection_is_the_empty_string(text: str) -> None:
    assert parse_language(text) == ""


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [("germn", 'German ("de")'), ("Englsh", 'English ("en")'), ("mandrin", 'Chinese ("zh")')],
)
def test_a_misspelt_language_is_refused_with_the_nearest_one(text: str, suggestion: str) -> None:
    with pytest.raises(UnknownLanguage) as caught:
        parse_language(text)
    assert text in caught.value.message
    assert f"did you mean {suggestion}?" in caught.value.message


@pytest.mark.parametrize("text", ["xqzzy", "-", "12", "🙂"])
def test_something_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UnknownLanguage, match='or "auto" to detect it'):
        parse_language(text)


def test_six_languages_are_written_without_spaces() -> None:
    assert {code for code in LANGUAGES if not is_spaced(code)} == {"zh", "ja", "th", "lo", "my", "yue"}
    assert is_spaced("")
