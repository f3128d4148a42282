"""The bare loop: one engine, one thread, clip after clip. Run as a process of its own; several make several slots.

usage: loop.py faster_whisper|whisper_cpp MODEL CLIP...
Prints the seconds that the clips took, the loading of the model left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from bench.direct import Samples, read


def faster_whisper(model_path: str) -> Callable[[Samples], object]:
    from faster_whisper import WhisperModel

    model = WhisperModel(model_path, device="cpu", compute_type="int8", cpu_threads=1)

    def hear(audio: Samples) -> None:
        segments, _ = model.transcribe(
            audio,
            language="en",
            beam_size=1,
            temperature=0.0,
            word_timestamps=True,
            condition_on_previous_text=False,
        )
        for _ in segments:
            pass

    return hear


def whisper_cpp(model_path: str) -> Callable[[Samples], object]:
    from pywhispercpp.model import Model

    model = Model(
        model_path,
        redirect_whispercpp_logs_to=None,
        print_progress=False,
        n_threads=1,
        no_context=True,
        context_params={"use_gpu": False},
    )
    return lambda audio: model.transcribe(audio, language="en", token_timestamps=True, max_len=1, split_on_word=True)


def main() -> None:
    engine, model_path, *clips = sys.argv[1:]
    hear = {"faster_whisper": faster_whisper, "whisper_cpp": whisper_cpp}[engine](model_path)
    started = time.monotonic()
    for clip in clips:
        hear(read(clip))
    print(time.monotonic() - started)


if __name__ == "__main__":
    main()
