"""`make bench-providers`: what v2t adds to providers on other machines, all on this one; prints a table.

Each comparison is made in turns in one run, and the median counts. Exits 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from bench.bare import bare_client, compare
from bench.failover import seconds_of_failover
from bench.recording import SAMPLES, Recording, make_recording
from bench.stand_ins import stand_ins
from bench.table import Table
from support.kennedy import SPEECH_SECONDS
from support.speech_apis import APIS, SECRET, Api, hear
from support.ssh_server import SshServer, serve_ssh, settings_for
from support.whisper_build import built_program
from support.whisper_server import running

from v2t.config import load_settings
from v2t.config.ssh_whisper import SshWhisperSettings
from v2t.domain.breaker import BreakerPolicy
from v2t.domain.ports import RemoteTranscriber
from v2t.providers.guard import Guard
from v2t.providers.guarded import Guarded
from v2t.providers.ssh_whisper import SshWhisper
from v2t.storage.breakers import SharedBreakers
from v2t.wiring import open_models

_CALLS = 20  # a round, to a server that answers at once
_COMPUTED_CALLS = 5  # to one that computes
_LIMIT_SECONDS, _LIMIT_SHARE = 0.050, 0.02


class Bench(Table):
    """One machine, one model."""

    def __init__(self, folder: Path, model: str, rounds: int, files: int) -> None:
        super().__init__()
        self.folder, self.rounds, self.files = folder, rounds, files
        settings = load_settings()
        self.model = open_models(settings).ensure(model, "ggml")
        self.chunk = make_recording(folder / "chunk.wav", settings.audio.chunk_seconds - SPEECH_SECONDS)


def measure_overhead(bench: Bench) -> None:
    """What a call costs over the bare client's, with the breaker that a worker has before each provider."""
    os.environ["SPEECH_SECRET"] = SECRET
    apis = {api.name: api for api in APIS}
    with stand_ins(bench.chunk.seconds) as addresses:
        for name in ("openai", "elevenlabs", "custom_http"):
            asyncio.run(_report_overhead(bench, apis[name], addresses[name], bench.chunk, _CALLS))
    sample = Recording(SAMPLES / "jfk.wav", SPEECH_SECONDS, "")
    with running(built_program("whisper-server"), bench.model, bench.folder) as server:
        asyncio.run(_report_overhead(bench, apis["whisper_server"], server.url, sample, _COMPUTED_CALLS))


async def _report_overhead(bench: Bench, api: Api, address: str, recording: Recording, calls: int) -> None:
    provider: RemoteTranscriber = Guarded(api.open(address), Guard(api.name, SharedBreakers(), BreakerPolicy()))

    async def ours() -> object:
        return await hear(provider, recording.path, seconds=recording.seconds, language="en")

    async with bare_client(api, address, recording.path) as bare:
        found = await compare(ours, bare, calls * bench.rounds)
    await provider.close()
    met = found.over < _LIMIT_SECONDS or found.share < _LIMIT_SHARE
    bench.report(f"a call, {api.name} / bare client", str(found), "< 50 ms or < 2 %", met=met)


def measure_ssh(bench: Bench) -> None:
    """Files over one pooled connection, against a connection for each of them."""
    work = bench.folder / "work"
    work.mkdir()
    real: dict[str, Any] = {
        "command": (str(built_program("whisper-cli")), *SshWhisperSettings().command[1:]),
        "model_path": str(bench.model),
        "threads": len(os.sched_getaffinity(0)),
    }
    with serve_ssh(bench.folder / "ssh") as server:
        # one is all connection, of the other most is Whisper
        for what, changes, least in (("a command that does nothing", {}, 1.5), ("whisper-cli", real, 1.0)):
            section = settings_for(server, work, **changes)
            pooled: list[float] = []
            separate: list[float] = []
            files = [SAMPLES / "jfk.wav"] * bench.files
            turns = [(1, pooled), (len(files), separate)]
            for _ in range(bench.rounds):
                for connections, found in turns:
                    found.append(asyncio.run(_seconds_over_ssh(server, section, files, connections)))
                turns.reverse()  # each time the other one first
            ratio = statistics.median(b / a for a, b in zip(pooled, separate, strict=True))
            each = [f"{1000 * statistics.median(found) / bench.files:.0f} ms" for found in (separate, pooled)]
            measured = f"{ratio:.2f} ({each[0]} a file, pooled {each[1]})"
            bench.report(f"{bench.files} files over SSH, {what}", measured, f">= {least:g}", met=ratio >= least)


async def _seconds_over_ssh(
    server: SshServer, section: SshWhisperSettings, files: Sequence[Path], connections: int
) -> float:
    """How long files take one after the other, each connection having its share of them."""
    logins = server.logins
    share = len(files) // connections
    started = time.perf_counter()
    for first in range(0, len(files), share):
        provider = SshWhisper(section)
        for audio in files[first : first + share]:
            await hear(provider, audio, language="en")
        await provider.close()
    seconds = time.perf_counter() - started
    assert server.logins - logins == connections
    return seconds


def measure_failover(bench: Bench) -> None:
    """From the submission of a job until the second provider begins to answer, where nobody listens at the first.

    The whole way on an embedded cluster, with the retries of its workflow; what a well provider takes is told too.
    """
    found = []
    for number in range(bench.rounds):
        folder = bench.folder / f"failover-{number}"
        folder.mkdir()
        found.append(asyncio.run(seconds_of_failover(folder)))
    well = statistics.median(one.well for one in found)
    closed = statistics.median(one.closed - one.well for one in found)
    is_open = statistics.median(one.open - one.well for one in found)
    told = f"over the {1000 * well:.0f} ms of a provider that is well"
    bench.report("failover, breaker closed", f"{closed:+.2f} s {told}", "<= 5 s", met=closed <= 5)
    bench.report("failover, breaker open", f"{1000 * is_open:+.0f} ms {told}", "<= 100 ms", met=is_open <= 0.1)


def main() -> None:
    """Run what is asked for and print the table."""
    parts: dict[str, Callable[[Bench], None]] = {
        "overhead": measure_overhead,
        "ssh": measure_ssh,
        "failover": measure_failover,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(parts), help=f"any of {', '.join(parts)}")
    parser.add_argument("--model", default="tiny.en", help="of whisper.cpp's server and command")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=20, help="over SSH")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="v2t-bench-") as folder:
        bench = Bench(Path(folder), arguments.model, arguments.rounds, arguments.files)
        for part in arguments.parts:
            print(f"{part} …", flush=True)
            try:
                parts[part](bench)
            except pytest.skip.Exception as reason:  # of a program that is not there
                bench.report(part, f"not measured: {reason}", "", met=False)
    bench.end(f"model {arguments.model}, {os.cpu_count()} cores with all servers on them, {platform.machine()}")


if __name__ == "__main__":
    main()
