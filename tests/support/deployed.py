"""v2t as it runs on a host of a deployed cluster."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from support.lab.control import Host
from support.processes import wait_for
from support.recordings import SAMPLE_RATE, decode, write_wav

V2T = "sudo -u v2t /opt/v2t/application/current/bin/v2t"
SAMPLE = Path(__file__).parents[2] / "samples" / "jfk.wav"


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def make_clips(folder: Path, count: int, name: str) -> list[Path]:
    """Recordings of the same words, each of another content: what leads up to them is a little longer each time."""
    folder.mkdir(parents=True, exist_ok=True)
    speech, begins_at = decode(SAMPLE), zlib.crc32(name.encode()) % SAMPLE_RATE
    clips = []
    for number in range(count):
        lead = np.zeros(begins_at + number, np.int16)
        clips.append(write_wav(folder / f"{name}-{number:02}.wav", np.concatenate([lead, speech])))
    return clips


def place(host: Host, files: Sequence[Path], folder: str) -> None:
    """Copy files into a folder of the host that v2t's account reads."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for file in files:
            archive.add(file, file.name)
    unpack = f"mkdir --parents {folder} && tar --extract --no-same-owner --directory {folder}; chmod -R a+rX {folder}"
    subprocess.run(host.ssh_command(unpack), input=packed.getvalue(), check=True)


def begin_batch(host: Host, folder: str) -> subprocess.Popen[str]:
    """Send all recordings of a folder as one batch, and follow it; `<folder>.ended` on the host says when it ended."""
    command = f"{V2T} batch {folder} --language en --json; code=$?; date +%s >{folder}.ended; exit $code"
    return subprocess.Popen(
        host.ssh_command(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end_batch(running: subprocess.Popen[str], seconds: float = 900.0) -> dict[str, Any]:
    """Wait for a batch that must come to its end; what it said."""
    stdout, stderr = running.communicate(timeout=seconds)
    assert running.returncode == 0, stdout[-2000:] + stderr[-2000:]
    data: dict[str, Any] = json.loads(stdout)["data"]
    return data


def transcribe(host: Host, file: str) -> str:
    """The text of a recording that lies on the host."""
    heard = host.run(f"{V2T} transcribe {file} --quiet")
    assert heard.code == 0, heard.output
    return heard.output


def jobs_of(host: Host) -> list[str]:
    """The ids of the jobs that have ended well."""
    listed = json.loads(host.read(f"{V2T} jobs list --state completed --json"))["data"]["jobs"]
    return sorted(job["job_id"] for job in listed)


def chunks_done(host: Host, port: int = 8081) -> int:
    """How many chunks a worker has transcribed since it started."""
    page = host.read(f"curl --silent --fail http://127.0.0.1:{port}/metrics")
    counts = re.findall(r'^v2t_transcriptions_total\{.*outcome="ok".*\} ([0-9.]+)$', page, re.MULTILINE)
    return round(sum(map(float, counts)))


def exposure(host: Host, unit: str) -> float:
    """How exposed a unit is, as systemd rates it: from 0, to nothing, to 10."""
    said = host.read(f"systemd-analyze security --no-pager {unit} | tail -1")
    found = re.search(r"level for \S+ ([0-9.]+)", said)
    assert found, said
    return float(found[1])


def wait_healthy(host: Host, seconds: float = 240.0) -> None:
    """Wait until the cluster, as the host sees it, can transcribe."""
    wait_for(lambda: host.run(f"{V2T} health").code == 0, f"{host.name} sees a healthy cluster", seconds)
