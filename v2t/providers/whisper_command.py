"""whisper.cpp's program, here or on another machine: its argv, what it says while it works, and the JSON it writes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from v2t.config.ssh_whisper import SshWhisperSettings
from v2t.domain.errors import ProviderFailed, ProviderRejected, UnknownLanguage
from v2t.domain.jobs import TranscribeOptions
from v2t.domain.languages import is_spaced, parse_language
from v2t.domain.transcript import Segment, Word
from v2t.providers._answers import plain
from v2t.providers.heard import divide_piece, join_phrases

_PLACEHOLDER = re.compile(r"\{(audio|model|language|threads|output|prompt)\}")

_PROGRESS = re.compile(r"progress\s*=\s*(\d{1,3})%")
_DETECTED = re.compile(r"auto-detected language: \w+ \(p = ([01]\.\d+)\)")
"""As whisper.cpp 1.8 says it in examples/cli/cli.cpp and src/whisper.cpp."""

_SPECIAL = re.compile(r"\[_.*\]")
"""A token that is no text, such as [_BEG_] and [_TT_150] (src/whisper.cpp, whisper_model_load)."""


class Command(Protocol):
    """A program, and how it is told what to do: words with places, which `build_command` fills."""

    @property
    def command(self) -> Sequence[str]:
        """Always."""
        ...

    @property
    def translate_arguments(self) -> Sequence[str]:
        """Added for a translation; empty: it cannot translate."""
        ...

    @property
    def prompt_arguments(self) -> Sequence[str]:
        """Added for a prompt; empty: it takes none."""
        ...

    @property
    def threads(self) -> int:
        """Its computing threads."""
        ...


class Listener:
    """Understands what a program says while it works.

    Args:
        on_progress: told the fraction done.
    """

    def __init__(self, on_progress: Callable[[float], object]) -> None:
        self._on_progress = on_progress
        self.language_probability: float | None = None

    def hear(self, line: str) -> bool:
        """Take a line; whether it is understood, and so no complaint."""
        fraction, probability = read_progress(line), read_language_probability(line)
        if fraction is not None:
            self._on_progress(fraction)
        if probability is not None:
            self.language_probability = probability
        return fraction is not None or probability is not None


def likeliest_complaint(before: str, line: str) -> str:
    """Why a program failed: the first line that calls itself an error, else the last that it said."""
    return before if before.startswith("error") else plain(line) or before


def model_file(settings: SshWhisperSettings, name: str) -> str:
    """The path there of a model's file; empty where the command is given none.

    Raises:
        ProviderRejected: the name would lead out of the folder of models.
    """
    if not any("{model}" in word for word in settings.command):
        return ""
    if "{name}" in settings.model_path and ("/" in name or "\0" in name or not name.strip(".")):
        raise ProviderRejected(f"{name!r} is no name of a model for ssh_whisper")
    return settings.model_path.replace("{name}", name)


def build_command(program: Command, options: TranscribeOptions, *, model: str, audio: str, output: str) -> list[str]:
    """The argv for one chunk.

    Args:
        program: the command.
        options: what the job asks for.
        model: path of the model's file, where the command runs.
        audio: path of the chunk's WAV there.
        output: path of the JSON to write there, without its ending.

    Raises:
        ProviderRejected: the command cannot do it.
    """
    if options.translate and not program.translate_arguments:
        raise ProviderRejected("ssh_whisper cannot translate; ssh_whisper.translate_arguments would say how")
    words = (
        *program.command,
        *(program.translate_arguments if options.translate else ()),
        *(program.prompt_arguments if options.prompt else ()),
    )
    values = {
        "audio": audio,
        "output": output,
        "model": model,
        "language": options.language or "auto",
        "threads": str(program.threads),
        "prompt": options.prompt.replace("\0", " "),
    }
    return [_filled(word, values) for word in words]


def quote(argv: Sequence[str]) -> str:
    """A line that a POSIX shell takes for exactly this argv.

    Raises:
        ValueError: a word holds NUL, which no argv can.
    """
    if any("\0" in word for word in argv):
        raise ValueError("a word of a command cannot hold NUL")
    return shlex.join(argv)


def read_progress(line: str) -> float | None:
    """The fraction done, 0 to 1, where the line tells it."""
    found = _PROGRESS.search(line)
    return min(1.0, int(found[1]) / 100) if found else None


def read_language_probability(line: str) -> float | None:
    """How sure it is of the language it detected, where the line tells it."""
    found = _DETECTED.search(line)
    return float(found[1]) if found else None


def parse_output(
    content: bytes, options: TranscribeOptions, detected: float | None, remedy: str
) -> tuple[list[Segment], str, float]:
    """Read whisper.cpp's JSON, with words where it is the full one (`-ojf`).

    Args:
        content: the file.
        options: what was asked for.
        detected: how sure it was of the language; None: it did not say.
        remedy: what to do where it is not that JSON.

    Returns:
        The segments, the language, and how sure it is of that: entirely where it had no choice.

    Raises:
        ProviderFailed: it is not that JSON.
    """
    try:
        document = json.loads(content.decode("utf-8", errors="replace"))
        language = options.language or parse_language(document["result"]["language"])
        spaced = options.translate or is_spaced(language)
        segments = _segments(document["transcription"], spaced=spaced)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, UnknownLanguage) as error:
        raise ProviderFailed(
            f"what the whisper command wrote is not whisper.cpp's JSON ({type(error).__name__}); {remedy}"
        ) from error
    return segments, language, 1.0 if options.language or detected is None else detected


def _filled(word: str, values: Mapping[str, str]) -> str:
    """In one go, so that a value which looks like a place is left as it is."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], word)


def _segments(items: Sequence[Mapping[str, Any]], *, spaced: bool) -> list[Segment]:
    """Phrases of words, or the segments as they are where it gave no words."""
    with_text = [item for item in items if item["text"].strip()]
    if all("tokens" in item for item in with_text):
        return join_phrases([word for item in with_text for word in _words(item["tokens"], spaced=spaced)])
    return [Segment(*_span(item), item["text"].strip()) for item in with_text]


def _words(tokens: Sequence[Mapping[str, Any]], *, spaced: bool) -> list[Word]:
    """Words of a segment's tokens: in languages with spaces one begins at each space."""
    groups: list[list[Mapping[str, Any]]] = []
    for token in tokens:
        if "offsets" not in token or _SPECIAL.fullmatch(token["text"]):
            continue
        if not groups or not spaced or token["text"].startswith(" "):
            groups.append([])
        groups[-1].append(token)
    return [word for group in groups for word in _divide(group, spaced=spaced)]


def _divide(group: Sequence[Mapping[str, Any]], *, spaced: bool) -> list[Word]:
    text = "".join(token["text"] for token in group)
    probability = sum(float(token["p"]) for token in group) / len(group)
    return divide_piece(
        text, _span(group[0])[0], _span(group[-1])[1], probability, spaced=spaced or text.startswith(" ")
    )


def _span(item: Mapping[str, Any]) -> tuple[float, float]:
    """Start and end in seconds; whisper.cpp counts in milliseconds here."""
    return item["offsets"]["from"] / 1000, item["offsets"]["to"] / 1000
