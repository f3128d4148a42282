"""A cached store whose fetches are written down, and what other processes do with it: `python -m support.caches`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.processes import TESTS
from v2t.storage.cache import CachedObjectStore
from v2t.storage.disk_cache import DiskCache
from v2t.storage.objects import DirectoryObjectStore

FETCHES = "fetches"
LIMIT_BYTES = 1 << 20


class SlowStore(DirectoryObjectStore):
    """Takes its time, and writes down each object that is fetched, whichever process asks.

    Args:
        folder: of the objects, and of the file of fetches.
        seconds: how long a fetch takes.
    """

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        super().__init__(folder / "store")
        self._log = folder / FETCHES
        self._seconds = seconds

    @contextmanager
    def open_file(self, key: str) -> Iterator[Path]:
        with self._log.open("a") as log:
            log.write(f"{key}\n")
        with super().open_file(key) as path:
            time.sleep(self._seconds)
            yield path


def fetches(folder: Path) -> list[str]:
    """The keys that were fetched from the store, in order."""
    log = folder / FETCHES
    return log.read_text().split() if log.exists() else []


def recording(content: bytes) -> str:
    """The key of a recording."""
    return f"audio/{hashlib.sha256(content).hexdigest()}"


def disk_cache(folder: Path, limit_bytes: int = LIMIT_BYTES) -> DiskCache:
    return DiskCache(folder / "cache", limit_bytes)


def cached_store(folder: Path, seconds: float = 0.0, limit_bytes: int = LIMIT_BYTES) -> CachedObjectStore:
    return CachedObjectStore(SlowStore(folder, seconds), disk_cache(folder, limit_bytes), metered=False)


def process(*arguments: str | Path, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start this module as another process: a verb, the folder and keys; it says a line when it is at its work."""
    return subprocess.Popen(
        [*before, sys.executable, "-m", "support.caches", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


def first_line(running: subprocess.Popen[str]) -> str:
    assert running.stdout
    return running.stdout.readline().strip()


def end(running: subprocess.Popen[str]) -> None:
    """Let it go on to its end."""
    running.communicate(timeout=30)
    assert running.returncode == 0


def _main(verb: str, folder: Path, key: str, *more: str) -> None:
    if verb == "fetch":
        store = cached_store(folder, seconds=0.0 if more else 0.3)
        for each in (key, *more):
            with store.open_file(each) as path:
                print(hashlib.sha256(path.read_bytes()).hexdigest())
        return
    if verb == "die":  # in the middle of a fetch, when told so
        cache = disk_cache(folder)

        def half(file: object) -> None:
            file.write(b"half")  # type: ignore[attr-defined]
            file.flush()  # type: ignore[attr-defined]
            print("writing", flush=True)
            time.sleep(600)

        with cache.only_one(key):
            cache.enter(key, "", half)
        return
    entry = disk_cache(folder).find(key, "")
    assert entry
    print("found", flush=True)
    if verb == "hold":
        sys.stdin.read()
    entry.close()


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
