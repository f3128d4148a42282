"""whisper.cpp through pywhispercpp: runs on every processor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from v2t.domain.jobs import SAMPLE_RATE
from v2t.domain.languages import is_spaced
from v2t.domain.transcript import Segment, Word
from v2t.process.child import Emit
from v2t.providers.engine import LocalEngine, as_answer, hear_twice_if_needed, loaded_model, read_samples
from v2t.providers.heard import divide_piece, join_phrases

if TYPE_CHECKING:
    import numpy as np

_DETECTION_SECONDS = 30
_DETECTION_SAMPLES = 3
_DETECTION_ENOUGH = 0.9
"""Language detection looks at up to three 30 s samples and stops at the first this sure."""

_PROMPT_TOKENS = 224
"""Half of Whisper's text context: the most that a prompt may take (whisper.cpp, whisper_full_with_state)."""

_TEMPERATURE_STEP = 0.2
"""The step of Whisper's own fallback (openai-whisper, transcribe.py)."""


class WhisperCpp(LocalEngine):
    """Transcriber on whisper.cpp."""

    name = "whisper_cpp"
    model_format = "ggml"
    job = "v2t.providers.whisper_cpp:transcribe"


def transcribe(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Child job: transcribe one chunk; with no audio, only load the model."""
    model = _model(payload, anew=False)
    if not payload["audio"]:
        return as_answer([], "", 0.0, 0.0, must_have_text=False)
    started = time.monotonic()
    samples = read_samples(payload["audio"])
    language, probability = payload["language"], 1.0
    if not language:
        language, probability = _detect_language(model, samples)
        emit({"progress": 0.0})
    spaced = is_spaced("en" if payload["translate"] else language)

    def hear(sampling: bool) -> list[Segment]:
        pieces = _model(payload, anew=sampling).transcribe(
            samples,
            new_segment_callback=lambda piece: emit(
                {"progress": min(1.0, piece.t1 / 100 * SAMPLE_RATE / len(samples))}
            ),
            language=language,
            **_options(payload, sampling=sampling),
        )
        return join_phrases([word for piece in pieces for word in _words(piece, spaced=spaced)])

    segments = hear_twice_if_needed(hear)
    seconds = time.monotonic() - started
    return as_answer(segments, language, probability, seconds, must_have_text=payload["must_have_text"])


def _options(payload: dict[str, Any], *, sampling: bool) -> dict[str, Any]:
    return {
        "translate": payload["translate"],
        "initial_prompt": payload["prompt"],
        # Conditioning on the text before makes loops spread over windows, and is slower (see tests/bench);
        # the prompt travels the same way, so it needs room when there is one.
        "n_max_text_ctx": _PROMPT_TOKENS if payload["prompt"] else 0,
        # As faster-whisper and openai-whisper do: no brackets, notes and sound descriptions.
        "suppress_nst": True,
        "temperature_inc": _TEMPERATURE_STEP if sampling else 0.0,
        # One segment a word, which is how whisper.cpp gives out word times.
        "token_timestamps": True,
        "max_len": 1,
        "split_on_word": True,
        "extract_probability": True,
    }


def _model(payload: dict[str, Any], *, anew: bool) -> Any:
    key = f"whisper_cpp:{payload['model']}"
    return loaded_model(key, lambda: _load(payload), anew=anew)


def _load(payload: dict[str, Any]) -> Any:
    from pywhispercpp.model import Model

    return Model(
        payload["model"],
        redirect_whispercpp_logs_to=None,
        print_progress=False,
        n_threads=payload["threads"],
        no_context=True,
        context_params={"use_gpu": payload["acceleration"] != "cpu"},
    )


def _detect_language(model: Any, samples: np.ndarray[Any, Any]) -> tuple[str, float]:
    window = _DETECTION_SECONDS * SAMPLE_RATE
    last = max(0, len(samples) - window)
    starts = sorted({last * number // (_DETECTION_SAMPLES - 1) for number in range(_DETECTION_SAMPLES)})
    votes: dict[str, float] = {}
    for seen, start in enumerate(starts, 1):
        (_, _), probabilities = model.auto_detect_language(samples[start : start + window].copy())
        for language, probability in probabilities.items():
            votes[language] = votes.get(language, 0.0) + float(probability)
        winner = max(votes, key=lambda language: votes[language])
        if votes[winner] / seen >= _DETECTION_ENOUGH:
            break
    return winner, votes[winner] / seen


def _words(piece: Any, *, spaced: bool) -> list[Word]:
    # whisper.cpp counts in 10 ms
    return divide_piece(piece.text, piece.t0 / 100, piece.t1 / 100, float(piece.probability), spaced=spaced)
