from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from support.recordings import SAMPLE_RATE, write_wav

from v2t.domain.errors import EngineCrashed, EngineOutOfMemory, EngineTimedOut, ProviderFailed, V2TError
from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import EngineResult
from v2t.process.pool import ChildPool
from v2t.providers.engines import Engines
from v2t.providers.whisper_cli import WhisperCli, command_for, failure_of

HEARD = """{"result": {"language": "en"}, "transcription": [{"offsets": {"from": 0, "to": 9000}, "text": " Hi there", \
"tokens": [{"text": " Hi", "offsets": {"from": 0, "to": 500}, "p": 0.9}, \
{"text": " there", "offsets": {"from": 500, "to": 9000}, "p": 0.9}]}]}"""
WRITES = f"""while [ "$1" != -of ]; do shift; done
cat > "$2.json" <<'END'
{HEARD}
END
"""
"""What a shell does in the place of whisper-cli."""

Open = Callable[[str], WhisperCli]


@pytest.fixture
async def open_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Open]:
    """Opens an engine whose program is a script; at the end no folder may be left."""
    pool = ChildPool(1)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))

    async def locate(model: str, model_format: str) -> Path:
        return Path("/models") / model_format / model

    def open_one(script: str) -> WhisperCli:
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o700)
        return WhisperCli(
            pool, locate, lambda _name, _format: 1000, stall_seconds=20.0, engines=Engines((str(program),))
        )

    yield open_one
    await pool.close()
    assert list(work.iterdir()) == []


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "0.wav", np.zeros(2 * SAMPLE_RATE, np.int16))


async def hear(engine: WhisperCli, audio: Path, options: TranscribeOptions, progress: list[float]) -> EngineResult:
    return await engine.transcribe(audio, Chunk(0, "0.wav", (Piece(0.0, 2.0),)), options, progress.append)


def test_the_program_is_told_to_do_what_the_library_does() -> None:
    first = command_for(["nice", "whisper-cli"], 3, acceleration="cpu", sampling=False)
    assert tuple(first.command[:4]) == ("nice", "whisper-cli", "-m", "{model}")
    assert tuple(first.command[-2:]) == ("-ng", "-nf")
    second = command_for(["whisper-cli"], 3, acceleration="cuda", sampling=True)
    assert not {"-ng", "-nf"} & set(second.command)
    assert second.threads == 3


async def test_words_are_kept_inside_the_chunk_and_progress_does_not_fall(open_engine: Open, sound: Path) -> None:
    script = f'{WRITES}for part in 40 90 10; do echo "progress = $part%" >&2; done'
    progress: list[float] = []
    result = await hear(open_engine(script), sound, TranscribeOptions(language="en"), progress)
    ((first, second),) = (segment.words for segment in result.segments)
    assert [(first.text, first.end), (second.text, second.end)] == [("Hi", 0.5), ("there", 2.0)]
    assert progress == [0.4, 0.9, 0.9]


async def test_what_was_asked_for_is_told_and_the_model_is_the_store_s(open_engine: Open, sound: Path) -> None:
    told = sound.with_name("told")
    script = f"printf '%s\\n' \"$@\" > {told}\n{WRITES}"
    options = TranscribeOptions(model="base", translate=True, prompt="it's {model}; $HOME")
    result = await hear(open_engine(f"{script}echo 'auto-detected language: en (p = 0.75)' >&2"), sound, options, [])
    words = told.read_text().splitlines()
    assert words[words.index("-m") + 1] == "/models/ggml/base"
    assert words[words.index("-l") + 1] == "auto"
    assert words[-5:] == ["-tr", "-mc", "224", "--prompt", "it's {model}; $HOME"]
    assert (result.language, result.language_probability) == ("en", 0.75)


@pytest.mark.parametrize(
    ("code", "said", "expected", "message"),
    [
        (-signal.SIGILL, ["starting"], EngineCrashed, "w died (SIGILL): it was built for another processor; build it "),
        (-signal.SIGSEGV, ["oops"], EngineCrashed, "w died (SIGSEGV): oops"),
        (128 + signal.SIGKILL, [], EngineCrashed, "w died (SIGKILL): perhaps for the memory of the machine, which was"),
        (3, ["error: no context", "bye"], EngineCrashed, "w ended with 3: error: no context"),
        (255, ["bye"], EngineCrashed, "w ended with 255: bye"),
        (3, ["failed to allocate 9 MB", "error: no"], EngineOutOfMemory, "w found no memory: failed to allocate 9 MB"),
        (
            0,
            ["error: unknown argument: -sns", "usage:"],
            ProviderFailed,
            "w wrote no JSON: error: unknown argument: -sn",
        ),
    ],
)
def test_each_end_without_a_result_is_told_in_one_clear_line(
    code: int, said: list[str], expected: type[V2TError], message: str
) -> None:
    failure = failure_of("w", code, said)
    assert type(failure) is expected
    assert failure.message.startswith(message)


@pytest.mark.parametrize(
    ("script", "expected", "message"),
    [
        ("kill -ILL $$", EngineCrashed, r"program died \(SIGILL\): it was built for another processor"),
        (
            'while [ "$1" != -of ]; do shift; done; echo "{}" > "$2.json"',
            ProviderFailed,
            r"engine\.whisper_cli must be",
        ),
    ],
    ids=["another processor", "no result"],
)
async def test_a_program_that_fails_costs_its_chunk(
    open_engine: Open, sound: Path, script: str, expected: type[V2TError], message: str
) -> None:
    with pytest.raises(expected, match=message):
        await hear(open_engine(script), sound, TranscribeOptions(), [])


async def test_a_program_that_says_nothing_is_ended(open_engine: Open, sound: Path) -> None:
    engine = open_engine("exec sleep 600")
    await engine.warm_up("base")
    engine._stall_seconds = 0.9
    with pytest.raises(EngineTimedOut, match="silent for 1 s"):
        await hear(engine, sound, TranscribeOptions(), [])


async def test_a_program_that_is_gone_fails_as_a_crash_does_so_that_another_engine_is_taken(
    open_engine: Open, sound: Path
) -> None:
    engine = open_engine("exit 0")
    await asyncio.to_thread(sound.with_name("program").unlink)
    with pytest.raises(EngineCrashed, match=r"of engine\.whisper_cli cannot be run: No such file"):
        await hear(engine, sound, TranscribeOptions(), [])
