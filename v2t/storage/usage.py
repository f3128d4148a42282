"""How many bytes and files a folder holds, kept beside it so that it need not be counted each time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_PRIVATE_FILE = 0o600


class Usage:
    """Bytes and files, as one small file that several processes change in turn: each change is made under their lock.

    Args:
        file: where the numbers stand; without it the files are counted.
        walk: the files.
    """

    def __init__(self, file: Path, walk: Callable[[], Iterator[Path]]) -> None:
        self._file = file
        self._walk = walk

    def read(self) -> tuple[int, int]:
        """Bytes and files. Raises OSError."""
        try:
            used, files = self._file.read_text(encoding="ascii").split()
            return int(used), int(files)
        except (FileNotFoundError, ValueError):
            return self._count()

    def change(self, more_bytes: int, more_files: int) -> None:
        """Note what comes or goes."""
        used, files = self.read()
        self._write(max(0, used + more_bytes), max(0, files + more_files))

    def count(self) -> None:
        """Note what is there."""
        self._write(*self._count())

    def _count(self) -> tuple[int, int]:
        sizes = [size_of(path) for path in self._walk()]
        return sum(sizes), len(sizes)

    def _write(self, used_bytes: int, files: int) -> None:
        # In place and always as long: renaming over a file makes some file systems wait for the disk.
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, _PRIVATE_FILE)
            try:
                os.truncate(descriptor, os.pwrite(descriptor, b"%020d %010d" % (used_bytes, files), 0))
            finally:
                os.close(descriptor)
        except OSError:  # a full disk; a missing number is counted anew, a wrong one would be believed
            self._file.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
