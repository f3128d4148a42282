from __future__ import annotations

import dataclasses
import inspect
import random
from dataclasses import replace
from enum import StrEnum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.converter import DataConverter

from v2t.domain import jobs
from v2t.domain.jobs import (
    AudioRef,
    Chunk,
    ChunkResult,
    Piece,
    TranscribeOptions,
    TranscribeRequest,
    choose_language,
    transcript_key,
)

AUDIO = AudioRef("ab" * 32, 1234, "talk.wav")
REQUEST = TranscribeRequest(AUDIO)
MESSAGES = [kind for _, kind in inspect.getmembers(jobs, dataclasses.is_dataclass) if isinstance(kind, type)]


def result(language: str, probability: float, seconds: float) -> ChunkResult:
    return ChunkResult(0, "key", language, probability, seconds, "local", "base")


def example(kind: Any) -> Any:
    """A value of a field's type, telling itself apart from its defaults."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{field.name: example(hints[field.name]) for field in dataclasses.fields(kind)})
    if get_origin(kind) is UnionType:  # of a type and None
        return example(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return (example(get_args(kind)[0]), example(get_args(kind)[0]))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return list(kind)[-1]
    return {str: "ä\n", int: 2**40, float: 1.25, bool: True}[kind]


@pytest.mark.parametrize("kind", MESSAGES)
async def test_everything_crosses_the_temporal_wire_unchanged(kind: type[Any]) -> None:
    value = example(kind)
    converter = DataConverter.default
    assert await converter.decode(await converter.encode([value]), [kind]) == [value]


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_types_on_the_wire_are_no_strings_that_every_payload_would_evaluate(kind: type[Any]) -> None:
    assert [field.name for field in dataclasses.fields(kind) if isinstance(field.type, str)] == []


def test_a_job_id_never_changes_between_releases() -> None:
    assert REQUEST.job_id == "t-slp247zdff5eva3h6bi6qetwoy"
    german = replace(REQUEST, options=TranscribeOptions(language="de", prompt="Über v2t"))
    assert german.job_id == "t-rs4eok452pudszuhku5xrwhcli"


def test_a_job_id_is_safe_in_paths_and_urls() -> None:
    assert REQUEST.job_id.removeprefix("t-").isalnum()
    assert REQUEST.job_id == REQUEST.job_id.lower()
    assert len(REQUEST.job_id) == 28


def test_the_name_the_user_and_tags_do_not_make_another_job() -> None:
    renamed = TranscribeRequest(replace(AUDIO, name="copy of talk.wav"), user="somebody else", tags=("court",))
    assert renamed.job_id == REQUEST.job_id


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(TranscribeOptions)])
def test_every_option_makes_another_job(field: str) -> None:
    options = TranscribeOptions()
    value: Any = True if field == "translate" else "other"
    changed = replace(options, **{field: value})
    assert replace(REQUEST, options=changed).job_id != REQUEST.job_id


def test_other_content_makes_another_job() -> None:
    assert replace(REQUEST, audio=replace(AUDIO, sha256="cd" * 32)).job_id != REQUEST.job_id


def test_keys_are_named_by_content_and_job() -> None:
    assert AUDIO.key == f"audio/{AUDIO.sha256}"
    assert transcript_key(REQUEST.job_id) == f"{REQUEST.job_id}/transcript.json"


def test_a_chunk_knows_its_span_and_its_speech() -> None:
    chunk = Chunk(0, "key", (Piece(10.0, 2.0), Piece(20.0, 3.5)))
    assert (chunk.start, chunk.end, chunk.speech_seconds) == (10.0, 23.5, 5.5)


def test_nobody_votes_on_the_language_of_silence() -> None:
    assert choose_language(()) == ("", 0.0)
    assert choose_language((result("", 0.9, 60.0),)) == ("", 0.0)


def test_one_sure_minute_outvotes_many_doubtful_seconds() -> None:
    language, share = choose_language((result("de", 0.95, 60.0), result("en", 0.3, 20.0), result("nl", 0.3, 20.0)))
    assert language == "de"
    assert share == pytest.approx(57.0 / 100.0)


def test_a_chunk_without_a_language_does_not_lower_the_share() -> None:
    language, share = choose_language((result("ja", 0.8, 30.0), result("", 0.0, 300.0)))
    assert language == "ja"
    assert share == pytest.approx(0.8)


def test_a_tied_vote_is_decided_the_same_way_in_any_order() -> None:
    german, english = result("de", 0.5, 30.0), result("en", 0.5, 30.0)
    assert choose_language((german, english)) == choose_language((english, german)) == ("de", 0.25)


RESULTS = st.lists(
    st.builds(result, st.sampled_from(["en", "de", "ja", ""]), st.floats(0.01, 1.0), st.floats(0.1, 300.0)), max_size=8
)


@given(RESULTS, st.randoms(use_true_random=False))
def test_the_vote_does_not_depend_on_the_order_of_chunks(results: list[ChunkResult], source: random.Random) -> None:
    shuffled = list(results)
    source.shuffle(shuffled)
    language, share = choose_language(tuple(results))
    other_language, other_share = choose_language(tuple(shuffled))
    assert other_share == pytest.approx(share)
    if other_language != language:  # only a tie that rounding decides
        weights = [
            sum(r.speech_seconds * r.language_probability for r in results if r.language == name)
            for name in (language, other_language)
        ]
        assert weights[0] == pytest.approx(weights[1])


@given(RESULTS)
def test_the_share_is_a_probability_and_the_winner_was_heard(results: list[ChunkResult]) -> None:
    language, share = choose_language(tuple(results))
    assert 0.0 <= share <= 1.0 + 1e-9
    assert language in {r.language for r in results} | {""}
    assert bool(language) == any(r.language for r in results)


@given(RESULTS.filter(lambda results: any(r.language for r in results)))
def test_more_of_the_winner_never_makes_it_lose(results: list[ChunkResult]) -> None:
    winner, _ = choose_language(tuple(results))
    assert choose_language((*results, result(winner, 1.0, 100.0)))[0] == winner
