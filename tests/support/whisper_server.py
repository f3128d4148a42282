"""whisper.cpp's own HTTP server, as a real process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from support.processes import wait_for
from v2t.process.ports import LOOPBACK, free_port


@dataclass
class Server:
    """A whisper.cpp server, and what it says."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def says(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-2000:]
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health").is_success
        return False


@contextmanager
def running(program: Path, model: Path, folder: Path) -> Iterator[Server]:
    """The server with its log in `folder`, once it answers."""
    port = free_port()
    log = folder / "server.log"
    with log.open("wb") as file:
        arguments = ["--host", LOOPBACK, "--port", str(port), "--model", str(model), "--no-gpu", "--threads", "2"]
        process = subprocess.Popen([program, *arguments], cwd=folder, stdout=file, stderr=file)
    server = Server(f"http://{LOOPBACK}:{port}", log, process)
    try:
        wait_for(server.is_up, "whisper-server answers", 60.0)
        yield server
    finally:
        process.kill()
        process.wait()
