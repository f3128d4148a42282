from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

from v2t.process.memory import family_bytes, private_bytes

_MEGABYTE = 1024 * 1024


def test_memory_counts_once_it_is_written_to() -> None:
    before = private_bytes(os.getpid())
    with mmap.mmap(-1, 64 * _MEGABYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        assert private_bytes(os.getpid()) - before < 8 * _MEGABYTE
        memory.write(b"\1" * len(memory))
        assert private_bytes(os.getpid()) - before > 56 * _MEGABYTE


def test_pages_of_a_file_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"\1" * 64 * _MEGABYTE)
    before = private_bytes(os.getpid())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as weights:
        assert weights[-1] == 1
        assert private_bytes(os.getpid()) - before < 8 * _MEGABYTE


def test_a_process_that_is_gone_uses_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert private_bytes(process.pid) == 0


def test_what_a_process_has_started_counts_with_it() -> None:
    before = family_bytes(os.getpid())
    script = "x = bytearray(64 << 20); x[::4096] = b'x' * len(x[::4096]); print(); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert family_bytes(os.getpid()) - before > 56 * _MEGABYTE
        process.communicate(b"\n")
