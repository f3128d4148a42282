"""faster-whisper: Whisper on CTranslate2, the fastest engine on x86 and on NVIDIA's cards."""

from __future__ import annotations

import time
from typing import Any

from v2t.domain.jobs import SAMPLE_RATE
from v2t.domain.transcript import Segment, Word
from v2t.process.child import Emit
from v2t.process.heap import keep_freed_memory
from v2t.providers.engine import LocalEngine, as_answer, hear_twice_if_needed, loaded_model, read_samples

_DETECTION_SAMPLES = 3
_DETECTION_ENOUGH = 0.9
"""Language detection looks at up to three 30 s samples and stops at the first this sure."""


_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The steps of Whisper's own fallback (openai-whisper, transcribe.py)."""


class FasterWhisper(LocalEngine):
    """Transcriber on faster-whisper."""

    name = "faster_whisper"
    model_format = "ct2"
    job = "v2t.providers.faster_whisper:transcribe"


def transcribe(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Child job: transcribe one chunk; with no audio, only load the model."""
    if not payload["audio"]:
        _model(payload, anew=False)
        return as_answer([], "", 0.0, 0.0, must_have_text=False)
    started = time.monotonic()
    samples = read_samples(payload["audio"])
    language, probability = payload["language"], 1.0

    def hear(sampling: bool) -> list[Segment]:
        nonlocal language, probability
        model = _model(payload, anew=sampling)
        found, info = model.transcribe(samples, **_options(payload, sampling=sampling))
        language, probability = info.language, float(info.language_probability)
        segments = []
        for item in found:
            segments.append(_segment(item))
            emit({"progress": min(1.0, item.end * SAMPLE_RATE / len(samples))})
        return segments

    segments = hear_twice_if_needed(hear)
    seconds = time.monotonic() - started
    return as_answer(segments, language, probability, seconds, must_have_text=payload["must_have_text"])


def _options(payload: dict[str, Any], *, sampling: bool) -> dict[str, Any]:
    return {
        "language": payload["language"] or None,
        "language_detection_segments": _DETECTION_SAMPLES,
        "language_detection_threshold": _DETECTION_ENOUGH,
        "task": "translate" if payload["translate"] else "transcribe",
        "initial_prompt": payload["prompt"] or None,
        "beam_size": 1,
        "temperature": _TEMPERATURES if sampling else 0.0,
        "word_timestamps": True,
        # Conditioning on the text before makes loops spread, and is slower (see tests/bench).
        "condition_on_previous_text": False,
    }


def _model(payload: dict[str, Any], *, anew: bool) -> Any:
    key = f"faster_whisper:{payload['model']}"
    return loaded_model(key, lambda: _load(payload), anew=anew)


def _load(payload: dict[str, Any]) -> Any:
    import ctranslate2
    from faster_whisper import WhisperModel

    ctranslate2.set_random_seed(0)  # taken by the threads that the model starts
    model = WhisperModel(
        payload["model"],
        device=payload["acceleration"],
        compute_type=_compute_type(payload["acceleration"]),
        cpu_threads=payload["threads"],
        num_workers=1,
        local_files_only=True,
    )
    keep_freed_memory()
    return model


def _compute_type(device: str) -> str:
    """The fastest: int8 on processors, half precision on the cards that have it, which those before Volta have not."""
    import ctranslate2

    if device == "cpu":
        return "int8"
    return "float16" if "float16" in ctranslate2.get_supported_compute_types(device) else "float32"


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
