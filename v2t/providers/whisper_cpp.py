"""whisper.cpp through pywhispercpp: runs on every processor."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from v2t.domain.jobs import SAMPLE_RATE
from v2t.domain.languages import is_spaced
from v2t.domain.transcript import Segment, Word
from v2t.process.child import Emit
from v2t.providers.engine import LocalEngine, as_answer, loaded_model, read_samples

if TYPE_CHECKING:
    import numpy as np

_DETECTION_SECONDS = 30
_DETECTION_SAMPLES = 3
_DETECTION_ENOUGH = 0.9
"""Language detection looks at up to three 30 s samples and stops at the first this sure."""

_PROMPT_TOKENS = 224
"""Half of Whisper's text context: the most that a prompt may take (whisper.cpp, whisper_full_with_state)."""

_PHRASE_PAUSE_SECONDS = 0.8
_PHRASE_LONGEST_SECONDS = 12.0
_PHRASE_ENDS = (".", "?", "!", "…", "。", "？", "！")  # noqa: RUF001 - full-width marks are meant


class WhisperCpp(LocalEngine):
    """Transcriber on whisper.cpp."""

    name = "whisper_cpp"
    model_format = "ggml"
    job = "v2t.providers.whisper_cpp:transcribe"


def transcribe(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Child job: transcribe one chunk; with no audio, only load the model."""
    model = loaded_model(f"whisper_cpp:{payload['model']}", lambda: _load(payload["model"], payload["threads"]))
    if not payload["audio"]:
        return as_answer([], "", 0.0, 0.0, must_have_text=False)
    started = time.monotonic()
    samples = read_samples(payload["audio"])
    duration = len(samples) / SAMPLE_RATE
    language, probability = payload["language"], 1.0
    if not language:
        language, probability = _detect_language(model, samples)
        emit({"progress": 0.0})
    pieces = model.transcribe(
        samples,
        new_segment_callback=lambda piece: emit({"progress": min(1.0, piece.t1 / 100 / duration)}),
        language=language,
        translate=payload["translate"],
        initial_prompt=payload["prompt"],
        # Conditioning on the text before makes loops spread over windows, and is slower (see tests/bench);
        # the prompt travels the same way, so it needs room when there is one.
        n_max_text_ctx=_PROMPT_TOKENS if payload["prompt"] else 0,
        # One segment a word, which is how whisper.cpp gives out word times.
        token_timestamps=True,
        max_len=1,
        split_on_word=True,
        extract_probability=True,
        suppress_nst=True,  # as OpenAI's own decoder does: no "[BLANK_AUDIO]", no "(music)"
    )
    spaced = is_spaced("en" if payload["translate"] else language)
    words = [word for piece in pieces for word in _words(piece, spaced=spaced)]
    return as_answer(
        _phrases(words), language, probability, time.monotonic() - started, must_have_text=payload["must_have_text"]
    )


def _load(path: str, threads: int) -> Any:
    from pywhispercpp.model import Model

    return Model(
        path,
        redirect_whispercpp_logs_to=None,
        print_progress=False,
        n_threads=threads,
        no_context=True,
        context_params={"use_gpu": False},
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
    text = piece.text.strip()
    start, end = piece.t0 / 100, piece.t1 / 100  # whisper.cpp counts in 10 ms
    if not text:
        return []
    if spaced:
        return [Word(text, start, end, float(piece.probability))]
    # Without spaces whisper.cpp cannot tell words apart: give each character its share of the time.
    step = (end - start) / len(text)
    return [
        Word(character, start + step * place, start + step * (place + 1), float(piece.probability), spaced=False)
        for place, character in enumerate(text)
    ]


def _phrases(words: list[Word]) -> list[Segment]:
    """Join words into phrases, which end at a full stop, a pause, or when they get long."""
    if not words:
        return []
    segments = []
    begin = 0
    for place, (word, following) in enumerate(pairwise(words), 1):
        ended = word.text.endswith(_PHRASE_ENDS) or following.start - word.end > _PHRASE_PAUSE_SECONDS
        if ended or following.end - words[begin].start > _PHRASE_LONGEST_SECONDS:
            segments.append(_segment(words[begin:place]))
            begin = place
    segments.append(_segment(words[begin:]))
    return segments


def _segment(words: list[Word]) -> Segment:
    text = "".join((" " if word.spaced else "") + word.text for word in words).strip()
    probability = sum(word.probability for word in words) / len(words)
    return Segment(words[0].start, words[-1].end, text, tuple(words), probability)
