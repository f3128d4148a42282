from __future__ import annotations

import re

import pytest

from v2t.domain.errors import UnknownModel
from v2t.domain.jobs import DEFAULT_MODEL
from v2t.weights.catalogue import CT2, GGML, find_model, memory_bytes, models


def test_every_file_has_a_size_and_a_sha256() -> None:
    files = [file for model in models() for file in model.files]
    assert len(files) > 70
    for file in files:
        assert file.size_bytes > 0
        assert re.fullmatch("[0-9a-f]{64}", file.sha256), file


def test_no_two_weights_share_a_checksum() -> None:
    weights = [max(model.files, key=lambda file: file.size_bytes).sha256 for model in models()]
    assert len(set(weights)) == len(weights)


def test_every_model_is_pinned_to_a_revision() -> None:
    for model in models():
        assert re.fullmatch("[0-9a-f]{40}", model.revision), model.name


@pytest.mark.parametrize("model_format", [CT2, GGML])
@pytest.mark.parametrize(
    "name",
    [
        DEFAULT_MODEL,
        *[
            "tiny",
            "tiny.en",
            "base",
            "base.en",
            "small",
            "small.en",
            "medium",
            "medium.en",
            "large-v2",
            "large-v3",
            "large-v3-turbo",
        ],
    ],
)
def test_both_formats_have_every_size(name: str, model_format: str) -> None:
    assert find_model(name, model_format).name == name


@pytest.mark.parametrize(
    ("name", "english"), [("tiny.en", True), ("small.en-q5_1", True), ("base", False), ("large-v3-turbo-q8_0", False)]
)
def test_the_english_only_models_are_known_by_their_name(name: str, english: bool) -> None:
    assert find_model(name, GGML).is_english_only is english


def test_a_misspelt_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownModel, match="Did you mean base"):
        find_model("bse", CT2)


def test_an_alias_is_answered_with_the_model_that_contains_it() -> None:
    with pytest.raises(UnknownModel, match="Did you mean large-v3-turbo"):
        find_model("turbo", CT2)


def test_a_model_of_another_format_is_named_as_such() -> None:
    with pytest.raises(UnknownModel, match=r"base-q5_1 exists for ggml, not for ct2"):
        find_model("base-q5_1", CT2)


@pytest.mark.parametrize(
    ("name", "model_format", "measured_mib"),
    [("tiny.en", CT2, 311), ("base", CT2, 354), ("tiny.en", GGML, 239), ("base", GGML, 301)],
)
def test_the_memory_estimate_covers_what_was_measured(name: str, model_format: str, measured_mib: int) -> None:
    assert measured_mib * 1000 * 1024 <= memory_bytes(name, model_format) <= 1.5 * measured_mib * 1000 * 1024
