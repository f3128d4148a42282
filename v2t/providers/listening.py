"""Which language a recording is in, heard by whoever transcribes."""

from __future__ import annotations

import tempfile
import wave
from pathlib import Path

from v2t.domain.jobs import Chunk, Piece, TranscribeOptions
from v2t.domain.ports import Transcriber

_SECONDS = 30
"""What Whisper looks at to tell a language (Radford et al. 2022, section 2.3)."""

_LIKELY = 0.5
"""What is less likely than not is no ground to send a file elsewhere."""


async def detect_language(transcriber: Transcriber, audio: Path, model: str) -> str:
    """The language of the first half minute; empty where none is likely.

    It is transcribed for that: every engine says by the way which language it heard.

    Args:
        transcriber: an engine.
        audio: a chunk, as engines take it; another file is made beside it.
        model: one of the engine's, that knows many languages.

    Raises:
        V2TError: as Transcriber.transcribe.
    """
    with tempfile.NamedTemporaryFile(dir=audio.parent, suffix=".wav") as beginning:
        seconds = _copy_beginning(audio, Path(beginning.name))
        chunk = Chunk(0, "", (Piece(0.0, seconds),))
        heard = await transcriber.transcribe(
            Path(beginning.name), chunk, TranscribeOptions(transcriber.name, model), lambda _fraction: None
        )
    return heard.language if heard.language_probability >= _LIKELY else ""


def _copy_beginning(audio: Path, target: Path) -> float:
    """Write the first half minute of a WAV into another; says how many seconds that are."""
    with wave.open(str(audio), "rb") as source, wave.open(str(target), "wb") as copy:
        copy.setparams(source.getparams())
        frames = min(source.getnframes(), _SECONDS * source.getframerate())
        copy.writeframes(source.readframes(frames))
        return frames / source.getframerate()
