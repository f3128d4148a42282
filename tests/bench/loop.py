"""The bare loop: one engine, one thread, clip after clip. Run as a process of its own; several make several slots.

usage: loop.py MODEL CLIP...
Prints the seconds that the clips took, the loading of the model left out.
"""

from __future__ import annotations

import sys
import time

from bench.direct import read


def main() -> None:
    from faster_whisper import WhisperModel

    model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=1)
    started = time.monotonic()
    for clip in sys.argv[2:]:
        segments, _ = model.transcribe(
            read(clip),
            language="en",
            beam_size=1,
            temperature=0.0,
            word_timestamps=True,
            condition_on_previous_text=False,
        )
        for _ in segments:
            pass
    print(time.monotonic() - started)


if __name__ == "__main__":
    main()
