"""The engines called directly, as a person would without v2t: whole file, all cores. Run as a process of its own.

usage: direct.py faster_whisper|whisper_cpp MODEL AUDIO [unconditioned]
Prints JSON: text, words with times, and the seconds that the transcription itself took.
"""

from __future__ import annotations

import json
import os
import sys
import time
import wave

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


def read(path: str) -> Samples:
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / np.float32(32768)


Words = list[tuple[str, float, float]]


def faster_whisper(model_path: str, audio: Samples, *, conditioned: bool) -> Words:
    from faster_whisper import WhisperModel

    model = WhisperModel(model_path, device="cpu", compute_type="int8", cpu_threads=len(os.sched_getaffinity(0)))
    segments, _ = model.transcribe(
        audio, language="en", beam_size=1, word_timestamps=True, condition_on_previous_text=conditioned
    )
    return [(word.word, word.start, word.end) for segment in segments for word in segment.words or ()]


def whisper_cpp(model_path: str, audio: Samples) -> Words:
    from pywhispercpp.model import Model

    model = Model(
        model_path,
        redirect_whispercpp_logs_to=None,
        print_progress=False,
        n_threads=len(os.sched_getaffinity(0)),
        context_params={"use_gpu": False},
    )
    pieces = model.transcribe(audio, language="en", token_timestamps=True, max_len=1, split_on_word=True)
    return [(piece.text, piece.t0 / 100, piece.t1 / 100) for piece in pieces]


def main() -> None:
    engine, model_path, audio_path, *rest = sys.argv[1:]
    audio = read(audio_path)
    started = time.monotonic()
    if engine == "faster_whisper":
        words = faster_whisper(model_path, audio, conditioned=not rest)
    else:
        words = whisper_cpp(model_path, audio)
    seconds = time.monotonic() - started
    json.dump({"words": words, "text": " ".join(word for word, _, _ in words), "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
