from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from v2t.domain.errors import ModelCorrupted
from v2t.weights.ct2 import read_variables, token_bytes
from v2t.weights.ggml import mel_filters, quantise


def dequantise(blocks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = blocks["values"].astype(np.float32) * blocks["scale"].astype(np.float32)[:, None]
    return values


def test_the_filters_are_those_whisper_was_trained_with() -> None:
    # of the 80 by 201 float32 numbers in the header of whisper.cpp's models/for-tests-ggml-base.bin
    assert (
        hashlib.sha256(mel_filters(80).tobytes()).hexdigest()
        == "85818f156f7e189453901a515e4726d270d307f976e161cf9403e8caab405498"
    )
    assert mel_filters(128).shape == (128, 201)


def test_a_block_is_a_half_precision_scale_and_32_bytes() -> None:
    blocks = quantise(np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32))
    assert blocks.dtype.itemsize == 34
    assert len(blocks) == 2


def test_quantising_is_within_half_a_step() -> None:
    weights = np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32)
    blocks = quantise(weights)
    step = blocks["scale"].astype(np.float32)[:, None]
    assert np.abs(dequantise(blocks) - weights.reshape(-1, 32)).max() <= 0.51 * step.max()


def test_quantising_rounds_halves_away_from_zero() -> None:
    row = np.zeros((1, 32), np.float32)
    row[0, :5] = [127, 0.5, -0.5, 1.5, 0.49999997]
    assert quantise(row)["values"][0, :5].tolist() == [127, 1, -1, 2, 0]


def test_a_block_of_zeros_stays_zeros() -> None:
    assert not dequantise(quantise(np.zeros((1, 32), np.float16))).any()


@pytest.mark.parametrize(
    ("token", "text"),
    [("a", b"a"), ("Ġthe", b" the"), ("Ã©", "é".encode()), ("Ċ", b"\n"), ("<|endoftext|>", b"<|endoftext|>")],
)
def test_a_token_is_the_bytes_it_stands_for(token: str, text: bytes) -> None:
    assert token_bytes(token) == text


@pytest.mark.parametrize("content", [b"", b"\0" * 40, struct.pack("<I", 6) + b"\x0c\0WhisperSpec\0"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(ModelCorrupted):
        read_variables(tmp_path / "model.bin")
