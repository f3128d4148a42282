"""whisper.cpp through its own program, whisper-cli, which a confined child runs for each chunk."""

from __future__ import annotations

import secrets
import shutil
import signal
import tempfile
import time
import wave
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from v2t.config.ssh_whisper import ARGUMENTS, PROMPT_ARGUMENTS, TRANSLATE_ARGUMENTS
from v2t.domain.errors import EngineCrashed, EngineOutOfMemory, ProviderFailed, V2TError
from v2t.domain.jobs import TranscribeOptions
from v2t.domain.ports import OnProgress
from v2t.domain.transcript import Segment
from v2t.process.child import Emit
from v2t.process.program import run_program
from v2t.providers._answers import plain
from v2t.providers.engine import LocalEngine, as_answer, hear_twice_if_needed, loaded_model
from v2t.providers.heard import keep_inside
from v2t.providers.whisper_command import Listener, build_command, likeliest_complaint, parse_output

_REMEDY = "engine.whisper_cli must be whisper.cpp's program"

_SIGNALS = 128
"""sh(1), for a program that is started by a script: codes above it tell the signal that ended it."""

_LAST_LINES = 20
"""Of what the program says, to tell why it failed."""

_NO_MEMORY = ("bad_alloc", "failed to allocate", "out of memory", "allocate memory")
"""As the C++ library, ggml, its backends and the system say it."""

_ENDS = {
    signal.SIGILL: "it was built for another processor; build it with -DGGML_NATIVE=OFF",
    signal.SIGKILL: "perhaps for the memory of the machine, which was full",
}


class WhisperCli(LocalEngine):
    """Transcriber on whisper.cpp's program, under the name of the engine that it stands for."""

    name = "whisper_cpp"
    model_format = "ggml"
    job = "v2t.providers.whisper_cli:transcribe"

    async def _run(self, model: str, payload: dict[str, Any], on_progress: OnProgress) -> dict[str, Any]:
        # The child makes the folder; it is removed here, since a child may be killed.
        folder = Path(tempfile.gettempdir()) / f"v2t-{secrets.token_hex(16)}"
        told = {"program": list(self._engines.providers[self.name].program), "folder": str(folder)}
        try:
            return await super()._run(model, payload | told, on_progress)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Command:
    """See whisper_command.Command."""

    command: Sequence[str]
    threads: int
    translate_arguments: Sequence[str] = TRANSLATE_ARGUMENTS
    prompt_arguments: Sequence[str] = PROMPT_ARGUMENTS


def command_for(program: Sequence[str], threads: int, *, acceleration: str, sampling: bool) -> _Command:
    """How the program is told what to do.

    Args:
        program: its argv, before any of v2t's words.
        threads: its computing threads.
        acceleration: what to compute on: cpu, or anything else for the card that it was built for.
        sampling: whether it may try again at higher temperatures where the first text goes wrong.
    """
    more = (*(("-ng",) if acceleration == "cpu" else ()), *(() if sampling else ("-nf",)))
    return _Command((*program, *ARGUMENTS, *more), threads)


def transcribe(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Child job: transcribe one chunk; with no audio there is nothing to do, as the program loads the model itself."""
    loaded_model("whisper_cli", lambda: None)  # drops that of another engine
    if not payload["audio"]:
        return as_answer([], "", 0.0, 0.0, must_have_text=False)
    started = time.monotonic()
    Path(payload["folder"]).mkdir(mode=0o700)
    language, probability = "", 0.0

    def hear(sampling: bool) -> list[Segment]:
        nonlocal language, probability
        segments, language, probability = _hear(payload, emit, sampling=sampling)
        return keep_inside(segments, _audio_seconds(payload["audio"]))

    segments = hear_twice_if_needed(hear)
    seconds = time.monotonic() - started
    return as_answer(segments, language, probability, seconds, must_have_text=payload["must_have_text"])


def _hear(payload: dict[str, Any], emit: Emit, *, sampling: bool) -> tuple[list[Segment], str, float]:
    """One run of the program: see parse_output. Raises ProviderError."""
    options = TranscribeOptions(language=payload["language"], translate=payload["translate"], prompt=payload["prompt"])
    command = command_for(
        payload["program"], payload["threads"], acceleration=payload["acceleration"], sampling=sampling
    )
    output = f"{payload['folder']}/heard"
    argv = build_command(command, options, model=payload["model"], audio=payload["audio"], output=output)
    done = 0.0
    said: deque[str] = deque(maxlen=_LAST_LINES)

    def progress(fraction: float) -> None:
        nonlocal done
        done = max(done, fraction)

    listener = Listener(progress)

    def hear(line: str) -> None:
        if not listener.hear(line):
            said.append(line)
        emit({"progress": done})  # whatever it says is a sign of life

    try:
        code = run_program(argv, hear)
    except OSError as error:
        raise EngineCrashed(f"{argv[0]} of engine.whisper_cli cannot be run: {error.strerror}") from error
    written = Path(f"{output}.json")
    if code or not written.exists():
        raise failure_of(argv[0], code, said)
    return parse_output(written.read_bytes(), options, listener.language_probability, _REMEDY)


def failure_of(program: str, code: int, said: Iterable[str]) -> V2TError:
    """What it means that the program has ended without a result.

    Args:
        program: its name, for the message.
        code: its exit code; that of a signal is negative, or above 128 where a script ran it.
        said: the last lines that it said.
    """
    lines = list(said)
    if lack := next((line for line in lines if any(words in line for words in _NO_MEMORY)), ""):
        return EngineOutOfMemory(f"{plain(program)} found no memory: {plain(lack)}")
    complaint = reduce(likeliest_complaint, lines, "")
    reason = f": {complaint}" if complaint else ""
    number = -code if code < 0 else code - _SIGNALS
    if number in set(signal.Signals):
        name, why = signal.Signals(number).name, _ENDS.get(signal.Signals(number), complaint)
        return EngineCrashed(f"{plain(program)} died ({name})" + (f": {why}" if why else ""))
    if code:
        return EngineCrashed(f"{plain(program)} ended with {code}{reason}")
    return ProviderFailed(f"{plain(program)} wrote no JSON{reason}; {_REMEDY}")


def _audio_seconds(path: str) -> float:
    with wave.open(path, "rb") as file:
        return file.getnframes() / file.getframerate()
