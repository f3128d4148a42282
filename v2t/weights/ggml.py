"""Writes a CTranslate2 Whisper model as the ggml file that whisper.cpp loads, with 8-bit weights.

Layout and order are those of whisper.cpp's models/convert-pt-to-ggml.py, the choice of what to quantise and how that
of its examples/quantize. So the result is, to the byte, the `-q8_0` file that whisper.cpp's hub has of the model, and
the catalogue's checksum for that file proves each conversion.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from v2t.weights.ct2 import Array, read_variables, read_vocabulary, token_bytes

_MAGIC = 0x67676D6C
_FLOAT32, _FLOAT16, _Q8_0 = 0, 1, 8
"""Tensor types: `enum ggml_type` in ggml.h."""

_FILE_TYPE = 2 * 1000 + 7
"""Quantisation version 2 times its factor, plus MOSTLY_Q8_0: `GGML_QNT_VERSION` and `enum ggml_ftype` in ggml.h."""

_BLOCK = 32
_BLOCK_Q8_0 = np.dtype([("scale", "<f2"), ("values", "i1", _BLOCK)])
"""32 weights share a scale: `block_q8_0` in ggml-common.h."""

_HEAD_WIDTH = 64
"""Of every Whisper model: width 384 has 6 heads, 1280 has 20 (Radford et al. 2022, table 1)."""

_TOKENS = 50_257
"""The size of GPT-2's vocabulary; whisper.cpp names the tokens after it, the special ones, itself."""

_SAMPLE_RATE, _FFT_SIZE = 16_000, 400
_ROWS_AT_ONCE = 4096


def convert(folder: Path, weights: Path, target: Path, on_bytes: Callable[[int], None]) -> None:
    """Write `target` from the CTranslate2 model `weights` and the vocabulary in `folder`.

    `on_bytes` is told how much is written.

    The weights are mapped and written a few thousand rows at a time, so memory does not grow with the model.

    Raises:
        ModelCorrupted: the input is no Whisper model.
        OSError: the target cannot be written.
    """
    variables = read_variables(weights)
    vocabulary = read_vocabulary(folder)
    with target.open("wb") as file:
        _write_header(file, variables, vocabulary)
        for name, tensor in _tensors(variables):
            _write_tensor(file, name, tensor)
            on_bytes(file.tell())


def mel_filters(bands: int) -> Array:
    """The filter bank of Whisper's spectrogram, float32 of shape (bands, 201).

    Triangles on Slaney's mel scale (linear below 1 kHz, logarithmic above), each of unit area: bit for bit what
    `librosa.filters.mel(sr=16000, n_fft=400, n_mels=bands)` gives and Whisper was trained with.
    """
    hertz_a_mel, first_logarithmic_mel = 200 / 3, 15.0
    step = math.log(6.4) / 27
    top = first_logarithmic_mel + math.log(_SAMPLE_RATE / 2 / 1000) / step
    mels = np.linspace(0.0, top, bands + 2)
    curve = 1000 * np.exp(step * (mels - first_logarithmic_mel))
    edges = np.where(mels < first_logarithmic_mel, hertz_a_mel * mels, curve)
    # The last bit of an exponential differs between processors; a nanohertz hides it and changes no filter.
    edges = edges.round(9)
    distances = edges[:, None] - np.fft.rfftfreq(_FFT_SIZE, 1 / _SAMPLE_RATE)[None, :]
    widths = np.diff(edges)[:, None]
    triangles = np.minimum(-distances[:-2] / widths[:-1], distances[2:] / widths[1:])
    triangles[triangles <= 0] = 0  # not by maximum(), which may leave a negative zero
    areas = (2 / (edges[2:] - edges[:-2]))[:, None]
    filters: Array = triangles.astype(np.float32) * areas
    return filters.astype(np.float32)


def quantise(weights: Array) -> Array:
    """8-bit blocks of 32 weights along the last axis, as ggml's `quantize_row_q8_0_ref` makes them."""
    rows = weights.astype(np.float32).reshape(-1, _BLOCK)
    scale = np.abs(rows).max(axis=1) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
    scaled = (rows * inverse[:, None]).astype(np.float64)  # so that adding a half is exact
    blocks = np.empty(len(rows), _BLOCK_Q8_0)
    blocks["scale"] = scale
    blocks["values"] = np.trunc(scaled + np.copysign(0.5, scaled))
    return blocks


def _write_header(file: IO[bytes], variables: Mapping[str, Array], vocabulary: list[str]) -> None:
    audio_length, audio_width = variables["encoder/position_encodings/encodings"].shape
    text_length, text_width = variables["decoder/position_encodings/encodings"].shape
    bands = variables["encoder/conv1/weight"].shape[1]
    file.write(struct.pack("<2i", _MAGIC, len(vocabulary)))
    file.write(struct.pack("<3i", audio_length, audio_width, audio_width // _HEAD_WIDTH))
    file.write(struct.pack("<i", _layers(variables, "encoder")))
    file.write(struct.pack("<3i", text_length, text_width, text_width // _HEAD_WIDTH))
    file.write(struct.pack("<3i", _layers(variables, "decoder"), bands, _FILE_TYPE))
    filters = mel_filters(bands)
    file.write(struct.pack("<2i", *filters.shape) + filters.astype("<f4").tobytes())
    file.write(struct.pack("<i", _TOKENS))
    for token in vocabulary[:_TOKENS]:
        written = token_bytes(token)
        file.write(struct.pack("<i", len(written)) + written)


def _write_tensor(file: IO[bytes], name: str, tensor: Array) -> None:
    kind, encode = _encoding(name, tensor)
    encoded = name.encode()
    file.write(struct.pack("<3i", tensor.ndim, len(encoded), kind))
    file.write(struct.pack(f"<{tensor.ndim}i", *reversed(tensor.shape)) + encoded)
    for start in range(0, len(tensor), _ROWS_AT_ONCE):
        file.write(encode(tensor[start : start + _ROWS_AT_ONCE]).tobytes())


def _encoding(name: str, tensor: Array) -> tuple[int, Callable[[Array], Array]]:
    """How whisper.cpp wants a tensor: matrices in 8 bits, convolutions in 16, what is small in 32."""
    if tensor.ndim == 1 or name.endswith(("positional_embedding", ".bias")):
        return _FLOAT32, lambda rows: rows.astype("<f4")
    if tensor.ndim == 2 and tensor.shape[1] % _BLOCK == 0:
        return _Q8_0, quantise
    return _FLOAT16, lambda rows: rows.astype("<f2")


def _tensors(variables: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """Every tensor under the name OpenAI gave it, in the order of OpenAI's checkpoints."""
    yield "decoder.positional_embedding", variables["decoder/position_encodings/encodings"]
    yield "encoder.positional_embedding", variables["encoder/position_encodings/encodings"]
    yield "decoder.token_embedding.weight", variables["decoder/embeddings/weight"]
    yield from _blocks(variables, "decoder")
    yield from _norm(variables, "decoder.ln", "decoder/layer_norm")
    for convolution in ("conv1", "conv2"):
        yield f"encoder.{convolution}.weight", variables[f"encoder/{convolution}/weight"]
        yield f"encoder.{convolution}.bias", variables[f"encoder/{convolution}/bias"].reshape(-1, 1)
    yield from _blocks(variables, "encoder")
    yield from _norm(variables, "encoder.ln_post", "encoder/layer_norm")


def _blocks(variables: Mapping[str, Array], side: str) -> Iterator[tuple[str, Array]]:
    for number in range(_layers(variables, side)):
        name, source = f"{side}.blocks.{number}", f"{side}/layer_{number}"
        yield from _norm(variables, f"{name}.mlp_ln", f"{source}/ffn/layer_norm")
        yield from _linear(variables, f"{name}.mlp.0", f"{source}/ffn/linear_0")
        yield from _linear(variables, f"{name}.mlp.2", f"{source}/ffn/linear_1")
        yield from _norm(variables, f"{name}.attn_ln", f"{source}/self_attention/layer_norm")
        yield from _self_attention(variables, f"{name}.attn", f"{source}/self_attention")
        if side == "decoder":
            yield from _norm(variables, f"{name}.cross_attn_ln", f"{source}/attention/layer_norm")
            yield from _cross_attention(variables, f"{name}.cross_attn", f"{source}/attention")


def _self_attention(variables: Mapping[str, Array], name: str, source: str) -> Iterator[tuple[str, Array]]:
    """CTranslate2 joins query, key and value into one matrix. Whisper's key has no bias, so its third is zeros."""
    query, key, value = np.split(variables[f"{source}/linear_0/weight"], 3)
    query_bias, _, value_bias = np.split(variables[f"{source}/linear_0/bias"], 3)
    yield from _attention(name, (query, query_bias), key, (value, value_bias))
    yield from _linear(variables, f"{name}.out", f"{source}/linear_1")


def _cross_attention(variables: Mapping[str, Array], name: str, source: str) -> Iterator[tuple[str, Array]]:
    """Here only key and value are joined, since the query comes from the text and they from the audio."""
    query, query_bias = variables[f"{source}/linear_0/weight"], variables[f"{source}/linear_0/bias"]
    key, value = np.split(variables[f"{source}/linear_1/weight"], 2)
    _, value_bias = np.split(variables[f"{source}/linear_1/bias"], 2)
    yield from _attention(name, (query, query_bias), key, (value, value_bias))
    yield from _linear(variables, f"{name}.out", f"{source}/linear_2")


def _attention(
    name: str, query: tuple[Array, Array], key: Array, value: tuple[Array, Array]
) -> Iterator[tuple[str, Array]]:
    yield f"{name}.query.weight", query[0]
    yield f"{name}.query.bias", query[1]
    yield f"{name}.key.weight", key
    yield f"{name}.value.weight", value[0]
    yield f"{name}.value.bias", value[1]


def _norm(variables: Mapping[str, Array], name: str, source: str) -> Iterator[tuple[str, Array]]:
    yield f"{name}.weight", variables[f"{source}/gamma"]
    yield f"{name}.bias", variables[f"{source}/beta"]


def _linear(variables: Mapping[str, Array], name: str, source: str) -> Iterator[tuple[str, Array]]:
    yield f"{name}.weight", variables[f"{source}/weight"]
    yield f"{name}.bias", variables[f"{source}/bias"]


def _layers(variables: Mapping[str, Array], side: str) -> int:
    return sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/weight") for name in variables)
