"""Whether placed files are the catalogue's, remembered so that a start need not read gigabytes again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from v2t.weights.catalogue import ModelFile

_MEMORY = ".verified.json"
"""Beside the files: size, time of change and SHA-256 of each when it was last read whole."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_hashed(chunks: Iterable[bytes], target: Path, on_bytes: Callable[[int], None]) -> str:
    """Write chunks to a file and flush it to the disk; returns its SHA-256. Raises OSError."""
    digest = hashlib.sha256()
    written = 0
    with target.open("wb") as output:
        for chunk in chunks:
            output.write(chunk)
            digest.update(chunk)
            written += len(chunk)
            on_bytes(written)
        output.flush()
        os.fsync(output.fileno())
    return digest.hexdigest()


def flush_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remember(folder: Path, files: Sequence[ModelFile]) -> None:
    """Note that the files in `folder` have just been found whole. Raises OSError."""
    document = {file.name: _facts(folder / file.name, file.sha256) for file in files}
    written = folder / f"{_MEMORY}.{os.getpid()}"
    written.write_text(json.dumps(document, indent=1), encoding="utf-8")
    written.replace(folder / _MEMORY)


def find_damaged(folder: Path, files: Sequence[ModelFile], *, read_all: bool = False) -> str:
    """The name of the first file that is not what it must be, or empty.

    A file is read only when it is not as it was remembered, or with `read_all`. Raises OSError.
    """
    remembered = {} if read_all else _remembered(folder)
    changed = [file for file in files if remembered.get(file.name) != _facts(folder / file.name, file.sha256)]
    for file in changed:
        path = folder / file.name
        if path.stat().st_size != file.size_bytes or sha256_of(path) != file.sha256:
            return file.name
    if changed:
        with suppress(OSError):  # a read-only folder: read them again next time
            remember(folder, files)
    return ""


def _facts(path: Path, sha256: str) -> dict[str, Any]:
    status = path.stat()
    return {"size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}


def _remembered(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / _MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
