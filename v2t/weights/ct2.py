"""Reads a CTranslate2 model: the file `model.bin` and the vocabulary beside it.

The binary layout is that of ctranslate2/specs/model_spec.py, `_serialize`, binary version 6.
"""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2t.domain.errors import ModelCorrupted

Array = NDArray[Any]

_SPECIFICATION = "WhisperSpec"
_VERSION = 6
_TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
}


def read_variables(model: Path) -> dict[str, Array]:
    """The variables of a `model.bin` by name, mapped from the file: nothing is read until it is used.

    Raises:
        ModelCorrupted: another kind of file, or a damaged one.
    """
    try:
        return _Reader(np.memmap(model, np.uint8, "r")).variables()
    except (struct.error, KeyError, ValueError, UnicodeDecodeError) as error:
        raise ModelCorrupted(f"{model} is not a Whisper model of CTranslate2; pull it again.") from error


def read_vocabulary(folder: Path) -> list[str]:
    """The tokens in the order of their numbers, as byte-level BPE writes them.

    Raises:
        ModelCorrupted: no vocabulary stands in the folder.
    """
    text, listed = folder / "vocabulary.txt", folder / "vocabulary.json"
    if text.exists():
        return text.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    if listed.exists():
        tokens: list[str] = json.loads(listed.read_text(encoding="utf-8"))
        return tokens
    raise ModelCorrupted(f"{folder} holds no vocabulary; pull the model again.")


def token_bytes(token: str) -> bytes:
    """The bytes of the text that a token stands for."""
    as_byte = _byte_of_character()
    return bytes(as_byte[character] for character in token)


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """Byte-level BPE writes printable Latin-1 as itself, every other byte as a character from U+0100 on.

    Source: `bytes_to_unicode` in OpenAI's GPT-2, src/encoder.py.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(0x100)) - set(printable))
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


class _Reader:
    def __init__(self, data: Array) -> None:
        self._data = data
        self._place = 0

    def variables(self) -> dict[str, Array]:
        version, name = self._number("I"), self._text()
        self._number("I")  # the specification's revision, which changed no layout
        if (version, name) != (_VERSION, _SPECIFICATION):
            raise ValueError(f"{name} in version {version}")
        found = dict(self._variable() for _ in range(self._number("I")))
        found |= {alias: found[target] for alias, target in self._aliases()}
        if self._place != len(self._data):
            raise ValueError("bytes left over")
        return found

    def _variable(self) -> tuple[str, Array]:
        name = self._text()
        shape = tuple(self._number("I") for _ in range(self._number("B")))
        kind = _TYPES[self._number("B")]
        return name, self._take(self._number("I")).view(kind).reshape(shape)

    def _aliases(self) -> Iterator[tuple[str, str]]:
        for _ in range(self._number("I")):
            yield self._text(), self._text()

    def _number(self, code: str) -> int:
        value: int = struct.unpack("<" + code, self._take(struct.calcsize(code)).tobytes())[0]
        return value

    def _text(self) -> str:
        return self._take(self._number("H")).tobytes().removesuffix(b"\0").decode()

    def _take(self, size: int) -> Array:
        if self._place + size > len(self._data):
            raise ValueError("the file ends too early")
        taken = self._data[self._place : self._place + size]
        self._place += size
        return taken
