"""Looks at what one machine needs that transcribes by itself: a folder, an engine, a model, the records."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2t.domain.errors import StorageDamaged, StorageFull, StorageUnwritable, V2TError
from v2t.health.report import Part, Status, broken, fine, weak

if TYPE_CHECKING:
    from v2t.config import Settings

_GIGABYTE = 1024**3
_PROBE_SECONDS = 5.0
_FULL_BYTES = 64 * 1024**2
_SCARCE_BYTES = _GIGABYTE


@dataclass(frozen=True, slots=True)
class Embedded:
    """What is known of this machine's embedded cluster without asking it."""

    has_program: bool  # there is a server to start
    address: str = ""  # where one runs now
    pid: int = 0


def look_at_folder(settings: Settings) -> Sequence[Part]:
    """Whether the data folder can be written, and has space."""
    folder = settings.standalone.folder
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        step = "set standalone.folder to a folder that can"
        return [broken("folder", StorageUnwritable, f"{there} cannot be written", step, required=True)]
    free = shutil.disk_usage(there).free
    summary = f"{folder}, {free / _GIGABYTE:.1f} GB free"
    if free < _FULL_BYTES:
        return [broken("folder", StorageFull, summary, "free some space", required=True, free_bytes=free)]
    if free < _SCARCE_BYTES:
        return [weak("folder", summary, "free some space", required=True, free_bytes=free)]
    return [fine("folder", summary, required=True, free_bytes=free)]


def look_at_engine(settings: Settings) -> Sequence[Part]:
    """Which engine computes here, and whether it has its default model."""
    from v2t import wiring
    from v2t.health.engine_parts import ask_engines, engine_parts
    from v2t.providers.table import LOCAL_PROVIDERS
    from v2t.weights.catalogue import find_model

    engine, *others = engine_parts(ask_engines(settings, _PROBE_SECONDS))
    if engine.status == Status.FAILED:
        return [engine, *others]
    name, model_format = settings.models.default, LOCAL_PROVIDERS[engine.summary].model_format
    try:
        path = wiring.open_models(settings).model_path(find_model(name, model_format).name, model_format)
    except V2TError as error:
        models = broken("models", error, error.message, "set models.default", required=True)
        return [engine, *others, models]
    if path is None:
        step = f"`v2t models pull {name}` gets it now; else the first job does"
        return [engine, *others, weak("models", f"{name} is not on this machine yet", step)]
    return [engine, *others, fine("models", f"{name} in {settings.models.folder}", path=str(path))]


def look_at_records(settings: Settings) -> Sequence[Part]:
    """Whether the records' file, if there is one, is a sound database."""
    file = settings.standalone.folder / "records.db"
    if not file.exists():
        return [fine("records", "none yet")]
    try:
        return [_read_records(file)]
    except sqlite3.DatabaseError as error:
        step = f"move {file} away; a new history is begun, transcripts stay"
        return [broken("records", StorageDamaged, f"cannot be read: {error}", step, required=True)]


def _read_records(file: Path) -> Part:
    from contextlib import closing

    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("none",)
        (jobs,) = connection.execute("SELECT count(*) FROM transcriptions").fetchone()
    summary = f"{jobs} jobs, SQLite {sqlite3.sqlite_version}, migration {revision}"
    return fine("records", summary, required=True, jobs=jobs, revision=revision)


LOOKS: dict[str, Callable[[Settings], Sequence[Part]]] = {
    "folder": look_at_folder,
    "engine": look_at_engine,
    "records": look_at_records,
}
"""Name → how to look at it."""
