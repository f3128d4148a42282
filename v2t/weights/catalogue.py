"""Which models exist, as files of known size and SHA-256, and what memory each takes."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from v2t.domain.errors import UnknownModel

GGML = "ggml"
"""whisper.cpp's model format: one file."""

CT2 = "ct2"
"""CTranslate2's model format, which faster-whisper loads: a folder."""

LICENSE = "MIT"
"""Of OpenAI's Whisper weights, and of every conversion listed here."""

_ENGINE_BYTES = {CT2: 220_000_000, GGML: 205_000_000}
_BYTES_A_WEIGHT_BYTE = {CT2: 1.4, GGML: 1.3}
"""The peak resident memory of an engine process is about a constant and a multiple of its weights file.

Measured for tiny.en and base on x86-64 with one thread and word times, on 60 s of speech: faster-whisper in int8
303 and 346 MiB, of which base takes 320 while it loads, since it reads 16-bit weights; whisper.cpp with 8-bit weights
234 and 294 MiB. The line lies just above these.
"""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model, known to the byte."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model in one format."""

    name: str
    format: str
    repository: str  # on the hub
    revision: str
    files: tuple[ModelFile, ...]  # as the hub has them
    eight_bit: ModelFile | None = None  # ggml: the same weights in 8 bits, where the hub has them

    @property
    def size_bytes(self) -> int:
        """What the hub's files take on disk."""
        return sum(file.size_bytes for file in self.files)

    @property
    def is_english_only(self) -> bool:
        """Whether it knows no other language than English."""
        return self.name.split("-")[0].endswith(".en")

    @property
    def editions(self) -> tuple[tuple[ModelFile, ...], ...]:
        """The sets of files, any of which is this model: as named on the hub, and in 8 bits."""
        return (self.files,) if self.eight_bit in {None, self.files[0]} else (self.files, (self.eight_bit,))


@functools.cache
def models() -> tuple[Model, ...]:
    """Every model of the catalogue, by format, the small ones first."""
    text = resources.files("v2t.weights").joinpath("catalogue.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    ggml = document[GGML]
    single = {name: ModelFile(f"ggml-{name}.bin", **facts) for name, facts in ggml["files"].items()}
    single_files = [
        Model(name, GGML, ggml["repository"], ggml["revision"], (file,), single.get(_eight_bit_name(name)))
        for name, file in single.items()
    ]
    folders = [
        Model(name, CT2, entry["repository"], entry["revision"], _files(entry["files"]))
        for name, entry in document[CT2].items()
    ]
    return (*folders, *single_files)


def find_model(name: str, model_format: str = "") -> Model:
    """The model of this name in a format, or in any when none is named.

    Raises:
        UnknownModel: there is none; the message names the nearest.
    """
    known = [model for model in models() if model_format in {model.format, ""}]
    for model in known:
        if model.name == name:
            return model
    names = [model.name for model in known]
    elsewhere = sorted({model.format for model in models() if model.name == name})
    if elsewhere:
        raise UnknownModel(
            f"Model {name} exists for {' and '.join(elsewhere)}, not for {model_format}; `v2t models list` shows them."
        )
    containing = [candidate for candidate in names if name and name in candidate]
    near = difflib.get_close_matches(name, names, n=1) or containing[:1]
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UnknownModel(f"There is no model {name!r}.{hint} `v2t models list` shows those there are.")


def memory_bytes(name: str, model_format: str) -> int:
    """About how much resident memory one engine with this model takes at its peak.

    An estimate for dividing a machine into slots: measured for tiny.en and base, scaled by file size for the rest.

    Raises:
        UnknownModel: no such model.
    """
    weights = max(file.size_bytes for file in find_model(name, model_format).files)
    return _ENGINE_BYTES[model_format] + round(_BYTES_A_WEIGHT_BYTE[model_format] * weights)


def _eight_bit_name(name: str) -> str:
    return name if name.endswith("-q8_0") else f"{name}-q8_0"


def _files(table: Mapping[str, Mapping[str, Any]]) -> tuple[ModelFile, ...]:
    return tuple(ModelFile(name, **facts) for name, facts in table.items())
