"""Locks between the threads and processes of one host; the kernel lets go of a lock when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PRIVATE_FILE = 0o600


@contextmanager
def exclusive(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock that `path` stands for, waiting for whoever has it.

    Args:
        path: the lock's file; made when missing, in a folder that exists.
        remove: take the file away afterwards, where there are as many locks as objects.

    Raises:
        OSError: the file cannot be made or locked.
    """
    descriptor = _locked(path)
    try:
        yield
    finally:
        if remove:
            with suppress(OSError):
                path.unlink()
        os.close(descriptor)


def try_exclusive(descriptor: int) -> bool:
    """Whether nobody else has an open file locked; then this descriptor holds its lock until it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def stands_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        there = path.stat()
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if stands_at(path, descriptor):  # else its last holder has just removed it: nobody else waits for this one
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
