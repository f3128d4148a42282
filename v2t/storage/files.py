"""Reading, copying and flushing the files that become objects."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from v2t.domain.errors import InputNotFound, InputUnreadable
from v2t.domain.ports import OnBytes

_COPY_BYTES = 1 << 26
_BLOCK_BYTES = 1 << 20
_KERNEL_CANNOT_COPY = {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM}
"""What copy_file_range(2) answers between some file systems, on old kernels and under some system call filters."""


@contextmanager
def opened_source(source: Path) -> Iterator[IO[bytes]]:
    """A file that is to be stored. Raises InputNotFound, InputUnreadable."""
    try:
        data = source.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise InputNotFound(f"{source} does not exist; check the path") from error
    except OSError as error:
        raise InputUnreadable(f"{source} cannot be read: {error.strerror}") from error
    with data:
        yield data


def copy_content(source: IO[bytes], target: IO[bytes], on_bytes: OnBytes) -> None:
    """Copy in the kernel, which shares blocks where the file system can, and the rest through memory."""
    done = 0
    try:
        while copied := os.copy_file_range(source.fileno(), target.fileno(), _COPY_BYTES):
            done += copied
            on_bytes(done)
    except OSError as error:
        if error.errno not in _KERNEL_CANNOT_COPY:
            raise
    while block := source.read(_BLOCK_BYTES):
        target.write(block)
        done += len(block)
        on_bytes(done)


def flush_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
