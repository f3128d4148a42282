"""`make bench`, second half: the distributed pipeline on real servers, all on this machine; prints a table.

Each comparison is a ratio of times measured in one run. Exits 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import platform
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.measure import run
from bench.orchestration import Cost, measure
from bench.recording import SAMPLE_RATE, make_recording
from bench.run import DIRECT
from bench.table import Table
from support.cluster import temporal_server
from support.command import Command, finish
from support.servers import Servers, running_servers
from support.shares import share_of_processors
from support.workers import WorkerProcess, running_workers

from v2t.client import Client
from v2t.cluster.artifacts import Artifacts, default_folder, this_architecture
from v2t.cluster.lock import read_lock
from v2t.config import load_settings
from v2t.providers.table import LOCAL_PROVIDERS
from v2t.wiring import open_bucket_store, open_models

_CLIPS = 200
_COUNTS = (100,) * 5 + (1000, 10_000, 1000) + (100,) * 5
"""Files of the batches of orchestration; small ones, of a few seconds each, several times, before and after."""

_MEGABYTE = 1 << 20
_LONG_SECONDS = 3600
"""Of 20 minutes the command's begin and end take four per cent, and two runs one after the other differ by as much."""
_SHARE = 0.8
_PATIENCE_SECONDS = 900.0
_LOOP = str(Path(DIRECT).with_name("loop.py"))
_TESTS = str(Path(DIRECT).parents[1])


class Bench(Table):
    """One set of servers, one engine with one model."""

    def __init__(self, servers: Servers, folder: Path, engine: str, model: str, rounds: int) -> None:
        super().__init__()
        self.servers, self.folder, self.engine, self.model, self.rounds = servers, folder, engine, model, rounds
        os.environ |= servers.environment
        self.settings = load_settings()
        self.environment = {
            **servers.environment,
            "V2T_MODELS__FOLDER": str(self.settings.models.folder),
            "V2T_MODELS__DEFAULT": model,
        }
        self.command = Command(folder, self.settings.models.folder, self.environment)
        prepared = self.command.run("cluster", "prepare")
        assert prepared.exit_code == 0, prepared.stderr

    def worker(self, name: str, slots: int, prefix: Sequence[str] = ()) -> WorkerProcess:
        environment = {**self.environment, "V2T_ENGINE__SLOTS": str(slots)}
        return WorkerProcess(name, self.folder / name, environment, prefix)

    def transcribe(self, name: str, *arguments: str | Path) -> float:
        """Run the command to its end; the seconds that it took."""
        started = time.monotonic()
        options = ("--provider", self.engine, "--model", self.model)
        outcome = finish(self.command.start(name, *arguments, *options), _PATIENCE_SECONDS)
        assert outcome.exit_code == 0, outcome.stderr
        return time.monotonic() - started

    def loop_seconds(self, clips: list[Path], prefixes: Sequence[Sequence[str]]) -> float:
        """How long the engine alone takes, loading left out, in a process for each prefix of a command line.

        No worker has work meanwhile.
        """
        slots = len(prefixes)
        model = open_models(self.settings).ensure(self.model, LOCAL_PROVIDERS[self.engine].model_format)
        processes = [
            subprocess.Popen(
                [*prefix, sys.executable, _LOOP, self.engine, str(model), *map(str, clips[number::slots])],
                env={**os.environ, "PYTHONPATH": _TESTS, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                text=True,
            )
            for number, prefix in enumerate(prefixes)
        ]
        try:
            return max(float(process.communicate()[0]) for process in processes)
        finally:  # where the bench is ended before them
            for process in processes:
                process.kill()
                process.wait()


def measure_clips(bench: Bench) -> None:
    """Batches of short clips, each against the engine in a bare loop with as many slots on the same clips.

    One follows the other several times: what a machine gives may change by a tenth within minutes.
    """
    slots = len(os.sched_getaffinity(0))
    ratios, rates = [], []
    with running_workers(bench.worker("clips", slots)):
        bench.transcribe("transcribe", Path(__file__).parents[2] / "samples" / "jfk.wav", "--quiet")  # loads the model
        for number in range(bench.rounds):
            clips = _make_clips(bench.folder / f"clips-{number}", number)
            ours = bench.transcribe("batch", clips[0].parent, "--language", "en")
            loop = bench.loop_seconds(clips, [()] * slots)
            ratios.append(loop / ours)
            rates.append(_CLIPS / ours)
    said = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    measured = f"{statistics.median(ratios):.2f} ({said}; {statistics.median(rates):.2f} clips/s)"
    met = statistics.median(ratios) >= 0.85
    bench.report(f"{_CLIPS} clips of 3 to 10 s, throughput / bare loop", measured, ">= 0.85", met=met)


def measure_workers(bench: Bench) -> None:
    """Two worker processes of one slot each, against one; and the engine alone in two processes, against one.

    Each has a part of a core to itself, as if it were another machine, and leaves the rest to the servers and the
    command. With whole cores the servers would have one to themselves beside one worker, and none beside two.
    Every other round begins with two, as a machine may become slower by and by. The engine comes in between: for
    a minute the cluster takes workers that ended for present, and cuts for them.
    """
    ratios, alone = [], []
    for number in range(bench.rounds):
        first, second = (1, 2) if number % 2 == 0 else (2, 1)
        seconds = {first: _seconds_of_workers(bench, number, first)}
        alone.append(_engines_alone(bench, number))
        seconds[second] = _seconds_of_workers(bench, number, second)
        ratios.append(seconds[1] / seconds[2])
        times = f"{seconds[1]:.1f} s, {seconds[2]:.1f} s"
        print(f"  {times}: {ratios[-1]:.2f}; the engine alone: {alone[-1]:.2f}", flush=True)
    measured = f"{statistics.median(ratios):.2f} (the engine alone: {statistics.median(alone):.2f})"
    bench.report(
        f"two workers of one slot / one, each on {_SHARE} of a core",
        measured,
        ">= 1.8",
        met=statistics.median(ratios) >= 1.8,
    )


def _engines_alone(bench: Bench, number: int) -> float:
    """How many times as fast two engines are as one, without anything of ours."""
    clips = _make_clips(bench.folder / f"engine-alone-{number}", 9 + number)[: _CLIPS // 2]
    with _shares("alone", 2) as prefixes:
        return bench.loop_seconds(clips, prefixes[:1]) / bench.loop_seconds(clips, prefixes)


def _seconds_of_workers(bench: Bench, number: int, count: int) -> float:
    """How long so many workers take for a long recording, the same one in a round."""
    name = f"workers-{number}-{count}"
    recording = make_recording(bench.folder / f"{name}.wav", _LONG_SECONDS, seed=number).path
    _tell_apart(recording, count)
    with (
        _shares(name, count) as prefixes,
        running_workers(*(bench.worker(f"{name}-{each}", 1, prefix) for each, prefix in enumerate(prefixes))),
    ):
        warm = make_recording(bench.folder / f"{name}-warm.wav", 40 * count, seed=1000 + number).path
        bench.transcribe("transcribe", warm, "--quiet")  # a chunk for each: loads the models
        return bench.transcribe("transcribe", recording, "--quiet")


@contextmanager
def _shares(name: str, count: int) -> Iterator[list[tuple[str, ...]]]:
    """For so many "machines" the beginning of their commands."""
    with ExitStack() as stack:
        names = [f"v2t-bench-{os.getpid()}-{name}-{each}" for each in range(count)]
        yield [stack.enter_context(share_of_processors(each, _SHARE)) for each in names]


def _tell_apart(recording: Path, number: int) -> None:
    """Give the same speech another content, which has no transcript yet: another last sample, which nobody hears."""
    with recording.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(number.to_bytes(2, "little"))


def measure_orchestration(bench: Bench) -> None:
    """Files a second without an engine, on the embedded server and on the real one, in batches of several sizes."""
    scratch = bench.folder / "scratch"
    scratch.mkdir()

    async def costs(address: str) -> list[Cost]:
        client = await Client.connect(address, bench.settings.temporal.namespace)
        return await measure(client, _COUNTS, scratch)

    with temporal_server(bench.folder) as address:
        _report_costs(bench, "embedded server", asyncio.run(costs(address)), 40)
    _report_costs(bench, "real server", asyncio.run(costs(bench.settings.temporal.address)), 0)


def _report_costs(bench: Bench, where: str, costs: list[Cost], needed: float) -> None:
    """Of each size the median of its batches."""
    found = {count: [1000 * cost.seconds / count for cost in costs if cost.files == count] for count in _COUNTS}
    for count, each in found.items():
        print(f"  {where}, {count} files: {', '.join(f'{one:.1f}' for one in each)} ms each", flush=True)
    middle = {count: statistics.median(each) for count, each in found.items()}
    rate = 1000 / statistics.median(middle.values())
    target = f">= {needed:g}" if needed else "said"
    bench.report(f"orchestration alone, {where}", f"{rate:.1f} files/s", target, met=rate >= needed)
    spread = max(middle.values()) / min(middle.values())
    said = ", ".join(f"{count}: {one:.1f} ms" for count, one in middle.items())
    bench.report(f"cost per file, {where}", f"{said}; spread {spread:.2f}", "<= 1.2", met=spread <= 1.2)
    activities, events = costs[0].activities, costs[0].events
    per_file = f"{activities} activity tasks, {events} history events"
    bench.report(f"per file, {where}", per_file, "1 and at most 12", met=activities == 1 and events <= 12)


def measure_repeated(bench: Bench) -> None:
    """A file that was transcribed before: what v2t takes besides starting Python and importing its libraries."""
    sample = Path(__file__).parents[2] / "samples" / "austen.flac"
    with running_workers(bench.worker("repeated", 1)):
        bench.transcribe("transcribe", sample, "--quiet")
    script = str(Path(__file__).with_name("repeated.py"))
    probe = [sys.executable, script, str(sample), bench.engine, bench.model]
    own = [float(run(probe, bench.environment).stdout) for _ in range(7)]
    whole = statistics.median(bench.transcribe("transcribe", sample, "--quiet") for _ in range(5))
    measured = f"{1000 * statistics.median(own):.0f} ms of our own ({whole:.2f} s with Python's start and imports)"
    bench.report("a repeated file", measured, "< 100 ms", met=statistics.median(own) < 0.1)


def measure_upload(bench: Bench) -> None:
    """A gigabyte into MinIO, against its own client."""
    large = bench.folder / "large.bin"
    with large.open("wb") as file:
        for _ in range(1024):
            file.write(random.randbytes(_MEGABYTE))
    store = open_bucket_store(bench.settings)
    mc = bench.servers.layout
    ours, theirs, grown = [], [], []
    (found,) = Artifacts(read_lock(), default_folder()).fetch(this_architecture(), print, "mc")
    client = str(found.path)
    environment = {**os.environ, "MC_HOST_bench": f"http://{mc.access_key}:{mc.secret_key}@{mc.minio_endpoints[0]}"}
    bucket = bench.settings.storage.transcripts_bucket
    with large.open("rb") as file:
        key = f"audio/{hashlib.file_digest(file, 'sha256').hexdigest()}"  # as the command names it before it uploads
    for number in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.monotonic()
        store.put_file(key, large)
        ours.append(time.monotonic() - started)
        grown.append((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
        started = time.monotonic()
        subprocess.run(
            [client, "cp", "--quiet", "--json", large, f"bench/{bucket}/mc/{number}"],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        theirs.append(time.monotonic() - started)
        store.delete(key)
        store.delete_prefix("mc/")
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    measured = (
        f"{ratio:.2f} ({1024 / statistics.median(ours):.0f} MB/s; mc {1024 / statistics.median(theirs):.0f} MB/s)"
    )
    bench.report("1 GB upload, speed / mc cp", measured, ">= 0.8", met=ratio >= 0.8)
    bench.report("1 GB upload, memory", f"+{max(grown):.0f} MB at its peak", "<= 200 MB", met=max(grown) <= 200)


def _make_clips(folder: Path, seed: int) -> list[Path]:
    """Different stretches of 3 to 10 s out of a long recording."""
    folder.mkdir()
    order = random.Random(seed)
    recording = make_recording(folder.with_suffix(".wav"), 1500, seed=seed)
    clips = []
    with wave.open(str(recording.path)) as source:
        position = 0
        for number in range(_CLIPS):
            length = round(order.uniform(3, 10) * SAMPLE_RATE)
            source.setpos(position)
            with wave.open(str(folder / f"clip-{number:03d}.wav"), "wb") as file:
                file.setparams(source.getparams())
                file.writeframes(source.readframes(length))
            position = (position + length) % (source.getnframes() - 10 * SAMPLE_RATE)
            clips.append(folder / f"clip-{number:03d}.wav")
    return clips


def main() -> None:
    """Run what is asked for and print the table."""
    parts: dict[str, Callable[[Bench], None]] = {
        "clips": measure_clips,
        "workers": measure_workers,
        "orchestration": measure_orchestration,
        "repeated": measure_repeated,
        "upload": measure_upload,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(parts), help=f"any of {', '.join(parts)}")
    parser.add_argument("--engine", default="faster_whisper", choices=sorted(LOCAL_PROVIDERS))
    parser.add_argument("--model", default="base")
    parser.add_argument("--rounds", default=3, type=int, help="of what is compared with the engine alone")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it as Ctrl-C does, and what it started
    with tempfile.TemporaryDirectory(prefix="v2t-bench-") as folder, running_servers() as servers:
        bench = Bench(servers, Path(folder), arguments.engine, arguments.model, arguments.rounds)
        for part in arguments.parts:
            print(f"{part} …", flush=True)
            parts[part](bench)
    where = f"{os.cpu_count()} cores with all servers on them, {platform.machine()}"
    bench.end(f"{arguments.engine}, model {arguments.model}, {where}")


if __name__ == "__main__":
    main()
