"""Files of an operator: read as text or YAML, and replaced in one step."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from v2t.domain.errors import DISK_FULL, ConfigurationError, InventoryInvalid, StorageFull, StorageUnwritable


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        InventoryInvalid: it cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InventoryInvalid(f"{path} cannot be read: {error}") from error


class NotYaml(Exception):
    """The text is not YAML. Its own words may show the text; `line` does not, counted from 1, 0 where unknown."""

    def __init__(self, words: str, line: int) -> None:
        super().__init__(words)
        self.line = line


def load_yaml(text: str) -> Any:
    """What a YAML text says; None where it says nothing.

    Raises:
        NotYaml: it is none.
        ConfigurationError: the library for it is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise ConfigurationError("PyYAML is not installed; `pip install 'v2t[cluster]'` installs it") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise NotYaml(" ".join(str(error).split()), mark.line + 1 if mark else 0) from error


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
