"""Whether files are the catalogue's, remembered so that a start need not read gigabytes again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from v2t.weights.catalogue import ModelFile

_MEMORY = ".verified.json"
"""Beside the files: size, time of change and SHA-256 of each when it was last read whole."""


def is_whole(path: Path, file: ModelFile) -> bool:
    """Whether what stands at `path` is the file, found out by reading it. Raises OSError."""
    if path.stat().st_size != file.size_bytes:
        return False
    with path.open("rb") as stored:
        return hashlib.file_digest(stored, "sha256").hexdigest() == file.sha256


def find_damaged(folder: Path, files: Sequence[ModelFile], *, read_all: bool = False) -> str:
    """The name of the first file that is not what it must be, or empty.

    A file is read only when it is not as it was remembered, or with `read_all`. Raises OSError.
    """
    remembered = {} if read_all else _remembered(folder)
    changed = [file for file in files if remembered.get(file.name) != _facts(folder, file)]
    for file in changed:
        if not is_whole(folder / file.name, file):
            return file.name
    if changed:
        with suppress(OSError):  # a read-only folder: read them again next time
            remember(folder, files)
    return ""


def remember(folder: Path, files: Sequence[ModelFile]) -> None:
    """Note that the files in `folder` have just been found whole. Raises OSError."""
    document = {file.name: _facts(folder, file) for file in files}
    written = folder / f"{_MEMORY}.{os.getpid()}"
    written.write_text(json.dumps(document, indent=1), encoding="utf-8")
    written.replace(folder / _MEMORY)


def flush(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _facts(folder: Path, file: ModelFile) -> dict[str, Any]:
    status = (folder / file.name).stat()
    return {"size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": file.sha256}


def _remembered(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / _MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
