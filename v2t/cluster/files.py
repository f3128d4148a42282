"""Files of an inventory: read as text, and replaced in one step."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from v2t.domain.errors import DISK_FULL, InventoryInvalid, StorageFull, StorageUnwritable


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        InventoryInvalid: it cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InventoryInvalid(f"{path} cannot be read: {error}") from error


def replace_file(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all, with its folders.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).chmod(mode)
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageFull from error
        raise StorageUnwritable(f"{path} cannot be written: {error.strerror or error}") from error
