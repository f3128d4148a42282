"""`make bench`: measures v2t against the engines called directly, in one run on one machine, and prints a table.

Each comparison runs in turns (A B A B …) and the median of the ratios counts, because machines are noisy.
Exits 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import platform
import statistics
import sys
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path

import jiwer
from bench.measure import run, run_json
from bench.recording import SAMPLE_RATE, Recording, make_recording
from bench.table import Table
from whisper_normalizer.english import EnglishTextNormalizer

from v2t.config import load_settings
from v2t.domain.jobs import AudioRef, Chunk, CutRequest
from v2t.media.tools import ConfinedAudioTools
from v2t.process.pool import ChildPool
from v2t.wiring import open_models
from v2t.workshop import engine_slots

ENGINES = {"faster_whisper": "ct2", "whisper_cpp": "ggml"}
DIRECT = str(Path(__file__).with_name("direct.py"))
_MEGABYTE = 1024 * 1024
_RECORDING_SECONDS = 600.0
_LONG_HOURS = 3.0
_CLIP_ROUNDS = 7  # a short call is cheap to repeat, and its time varies most


class Bench(Table):
    """One machine, one model, one recording."""

    def __init__(self, folder: Path, model: str, rounds: int) -> None:
        super().__init__()
        self.folder, self.model, self.rounds = folder, model, rounds
        self.recording = make_recording(folder / "recording.wav", _RECORDING_SECONDS)
        models = open_models(load_settings())
        self.model_paths = {engine: str(models.ensure(model, kind)) for engine, kind in ENGINES.items()}
        self._calls = 0

    def v2t(self, audio: Path, engine: str) -> list[str]:
        command = [sys.executable, "-m", "v2t", "transcribe", str(audio), "--provider", engine, "--model", self.model]
        return [*command, "--language", "en", "--format", "json", "--quiet", "--fresh"]

    def data_folder(self) -> dict[str, str]:
        """An environment with an embedded cluster that has never run."""
        self._calls += 1
        return {"V2T_STANDALONE__FOLDER": str(self.folder / f"data{self._calls}")}

    def direct(self, engine: str, audio: Path) -> list[str]:
        return [sys.executable, DIRECT, engine, self.model_paths[engine], str(audio)]


def measure_speed_and_words(bench: Bench) -> None:
    """Whole processes on the whole recording: ratios of wall times, and word error rates."""
    times: dict[str, list[float]] = {}
    texts: dict[str, str] = {}
    for number in range(bench.rounds):
        for engine in ENGINES:
            document, seconds = run_json(bench.direct(engine, bench.recording.path))
            times.setdefault(f"{engine} direct", []).append(seconds)
            texts[f"{engine} direct"] = str(document["text"])
            document, seconds = run_json(bench.v2t(bench.recording.path, engine), bench.data_folder())
            times.setdefault(f"{engine} v2t", []).append(seconds)
            texts[f"{engine} v2t"] = str(document["text"])
        print(f"  round {number + 1}: { ({name: round(found[-1], 1) for name, found in times.items()}) }", flush=True)
    for name, found in times.items():
        seconds = statistics.median(found)
        bench.note(name, f"{seconds:.1f} s, {bench.recording.seconds / seconds:.1f} x real time")

    def compare(left: str, right: str, target: float) -> None:
        ratio = statistics.median(b / a for a, b in zip(times[left], times[right], strict=True))
        bench.report(f"speed, {left} / {right}", f"{ratio:.2f}", f">= {target}", met=ratio >= target)

    compare("faster_whisper v2t", "whisper_cpp direct", 2.2)
    compare("faster_whisper v2t", "faster_whisper direct", 1.4)
    compare("whisper_cpp v2t", "whisper_cpp direct", 1.1)
    errors = {name: word_error(bench.recording.text, text) for name, text in texts.items()}
    for engine in ENGINES:
        ours, theirs = errors[f"{engine} v2t"], errors[f"{engine} direct"]
        measured = f"{ours:.1f} % against {theirs:.1f} %"
        bench.report(f"word errors, {engine} v2t / direct", measured, "<= direct + 0.3", met=ours <= theirs + 0.3)


def word_error(reference: str, text: str) -> float:
    """Word error rate in percent, both sides normalised as Whisper's authors do."""
    normalize = EnglishTextNormalizer()
    return 100 * float(jiwer.wer(normalize(reference), normalize(text)))


def measure_overhead(bench: Bench) -> None:
    """What a 5 s clip costs over the engine's own process, from nothing and with `v2t up`."""
    clip = cut_out(bench.recording, bench.folder / "clip.wav", 0.0, 5.0)
    engine = "faster_whisper"
    environment = bench.data_folder()
    rounds = range(max(_CLIP_ROUNDS, bench.rounds))
    direct, cold = [], []
    for _ in rounds:
        direct.append(run(bench.direct(engine, clip)).seconds)
        cold.append(run(bench.v2t(clip, engine), bench.data_folder()).seconds)
    run([sys.executable, "-m", "v2t", "up"], environment)
    try:
        run(bench.v2t(clip, engine), environment)
        warm = [run(bench.v2t(clip, engine), environment).seconds for _ in rounds]
    finally:
        run([sys.executable, "-m", "v2t", "down"], environment)
    own = statistics.median(direct)
    for what, found, limit in (("cold", cold, 2.5), ("with v2t up", warm, 0.3)):
        over = statistics.median(found) - own
        measured = f"{over:+.2f} s over the engine's {own:.2f} s"
        bench.report(f"5 s clip, {what}", measured, f"<= {limit} s", met=over <= limit)


def measure_memory(bench: Bench) -> None:
    """The peak of the whole process tree on a long file, above what the engines alone take with the model."""
    long = make_recording(bench.folder / "long.wav", _LONG_HOURS * 3600, seed=2)
    clip = cut_out(bench.recording, bench.folder / "two-minutes.wav", 0.0, 118.0)
    engine = run(bench.direct("faster_whisper", clip), {"OMP_NUM_THREADS": "1"}, memory=True)
    ours = run(bench.v2t(long.path, "faster_whisper"), bench.data_folder(), memory=True)
    slots = engine_slots(load_settings())
    above = (ours.peak_bytes - slots * engine.peak_bytes) / _MEGABYTE
    tree, alone = ours.peak_bytes / _MEGABYTE, engine.peak_bytes / _MEGABYTE
    measured = f"{above:+.0f} MB (whole tree {tree:.0f} MB, {slots} engines of {alone:.0f} MB each)"
    bench.report(f"memory, {_LONG_HOURS:g} h file", measured, "<= 300 MB", met=above <= 300)
    speed = long.seconds / ours.seconds
    bench.note(f"speed, {_LONG_HOURS:g} h file", f"{ours.seconds:.0f} s, {speed:.1f} x real time")


def measure_stamps(bench: Bench) -> None:
    """Each chunk transcribed alone by the engine: how far away do v2t's stamps of its words lie?"""
    recording = make_recording(bench.folder / "pauses.wav", 300, seed=3, pauses=(0.3, 0.5, 1.0, 4.0))
    document, _ = run_json(bench.v2t(recording.path, "faster_whisper"), bench.data_folder())
    ours = [(word["text"], word["start"]) for segment in document["segments"] for word in segment["words"]]
    shifts = []
    for chunk, audio in asyncio.run(cut_chunks(recording, bench.folder)):
        alone, _ = run_json([*bench.direct("faster_whisper", audio), "unconditioned"])
        shifts += [
            min(
                (abs(time - source_time(chunk, start)) for word, time in ours if word == text.strip()), default=math.inf
            )
            for text, start, _ in alone["words"]
        ]
    measured = f"{max(shifts) * 1000:.0f} ms over {len(shifts)} words"
    bench.report("stamps, greatest shift", measured, "<= 50 ms", met=max(shifts) <= 0.05)
    lost = f"{len(shifts)} in the chunks, {len(ours)} in the transcript"
    bench.report("words at the seams", lost, "equal", met=len(shifts) == len(ours))


def source_time(chunk: Chunk, seconds: float) -> float:
    """Where a time of a chunk's audio stands in the source."""
    for piece in chunk.pieces:
        if seconds < piece.length or piece is chunk.pieces[-1]:
            return piece.start + seconds
        seconds -= piece.length
    raise AssertionError


async def cut_chunks(recording: Recording, folder: Path) -> list[tuple[Chunk, Path]]:
    """The chunks that v2t makes of a recording, with their audio."""
    settings = load_settings()
    pool = ChildPool(1)
    tools = ConfinedAudioTools(pool, target_seconds=settings.audio.chunk_seconds)
    request = CutRequest(AudioRef("", 0, ""), "", window_seconds=recording.seconds, engines=engine_slots(settings))
    try:
        cut = await tools.cut(recording.path, request, folder, lambda _fraction: None)
    finally:
        await pool.close()
    return [(chunk, folder / f"{chunk.index}.wav") for chunk in cut.chunks]


def cut_out(recording: Recording, target: Path, start: float, end: float) -> Path:
    """A part of a recording as a file of its own."""
    with wave.open(str(recording.path)) as source, wave.open(str(target), "wb") as file:
        file.setparams(source.getparams())
        source.setpos(round(start * SAMPLE_RATE))
        file.writeframes(source.readframes(round((end - start) * SAMPLE_RATE)))
    return target


def main() -> None:
    """Run what is asked for and print the table."""
    parts: dict[str, Callable[[Bench], None]] = {
        "speed": measure_speed_and_words,
        "overhead": measure_overhead,
        "stamps": measure_stamps,
        "memory": measure_memory,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(parts), help=f"any of {', '.join(parts)}")
    parser.add_argument("--model", default="base")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="v2t-bench-") as folder:
        bench = Bench(Path(folder), arguments.model, arguments.rounds)
        for part in arguments.parts:
            print(f"{part} …", flush=True)
            parts[part](bench)
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    bench.end(f"model {arguments.model}, {bench.recording.seconds:.0f} s of speech, {machine}")


if __name__ == "__main__":
    main()
