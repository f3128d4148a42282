"""faster-whisper: Whisper on CTranslate2 with int8 weights, the fastest engine on x86."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from v2t.domain.transcript import Segment, Word
from v2t.process.child import Emit
from v2t.providers.engine import LocalEngine, as_answer, loaded_model, read_samples

_DETECTION_SAMPLES = 3
_DETECTION_ENOUGH = 0.9
"""Language detection looks at up to three 30 s samples and stops at the first this sure."""


class FasterWhisper(LocalEngine):
    """Transcriber on faster-whisper."""

    name = "faster_whisper"
    model_format = "ct2"
    job = "v2t.providers.faster_whisper:transcribe"


def transcribe(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Child job: transcribe one chunk; with no audio, only load the model."""
    model = loaded_model(f"faster_whisper:{payload['model']}", lambda: _load(payload["model"], payload["threads"]))
    if not payload["audio"]:
        return as_answer([], "", 0.0, 0.0, must_have_text=False)
    import ctranslate2

    started = time.monotonic()
    samples = read_samples(payload["audio"])
    duration = len(samples) / 16_000
    ctranslate2.set_random_seed(0)  # the same chunk gives the same text, also when sampling is needed
    found, info = model.transcribe(
        samples,
        language=payload["language"] or None,
        language_detection_segments=_DETECTION_SAMPLES,
        language_detection_threshold=_DETECTION_ENOUGH,
        task="translate" if payload["translate"] else "transcribe",
        initial_prompt=payload["prompt"] or None,
        beam_size=1,
        word_timestamps=True,
        # Conditioning on the text before makes loops spread, and is slower (see tests/bench).
        condition_on_previous_text=False,
    )
    segments = []
    for item in found:
        segments.append(_segment(item))
        emit({"progress": min(1.0, item.end / duration)})
    return as_answer(
        segments,
        info.language,
        float(info.language_probability),
        time.monotonic() - started,
        must_have_text=payload["must_have_text"],
    )


def _load(path: str, threads: int) -> Any:
    from faster_whisper import WhisperModel

    return WhisperModel(
        str(Path(path)), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=1, local_files_only=True
    )


def _segment(item: Any) -> Segment:
    words = tuple(
        Word(
            text=word.word.strip(),
            start=float(word.start),
            end=float(word.end),
            probability=float(word.probability),
            spaced=word.word.startswith(" "),
        )
        for word in item.words or ()
        if word.word.strip()
    )
    return Segment(
        start=float(item.start),
        end=float(item.end),
        text=item.text.strip(),
        words=words,
        probability=sum(word.probability for word in words) / len(words) if words else 0.0,
        no_speech_probability=float(item.no_speech_prob),
    )
