"""The models of a cluster's own object store: an operator pushes them there, and its machines take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from v2t.domain.errors import (
    ConfigurationError,
    ConnectionFailed,
    ModelCorrupted,
    ModelUnavailable,
    StorageError,
    StorageFull,
)
from v2t.domain.ports import ObjectStore
from v2t.weights.catalogue import Model, ModelFile
from v2t.weights.sources import OnProgress, copy_pieces, each_missing

OpenStore = Callable[[], ObjectStore]
"""Opens the store when it is used: most calls find their model on the disk."""


class Bucket:
    """The cluster's bucket of models, as a source.

    Args:
        open_store: opens the object store.
    """

    def __init__(self, open_store: OpenStore) -> None:
        self._open = open_store

    def deliver(self, model: Model, folder: Path, on_progress: OnProgress) -> tuple[ModelFile, ...]:
        """Fetch what is not there yet.

        Raises:
            ModelUnavailable: the bucket does not have it, or does not answer.
            ModelCorrupted: what it has is not the model.
        """
        try:
            store = self._open()
            edition = _edition(store, model)
            for file, on_bytes in each_missing(edition, folder, on_progress):
                with store.open_file(_key(model, file)) as path:
                    copy_pieces([path], folder / file.name, file, on_bytes)
        except (ModelUnavailable, ModelCorrupted, StorageFull):
            raise
        except (StorageError, ConnectionFailed, ConfigurationError) as error:
            raise ModelUnavailable(error.message) from error
        return edition


def push(store: ObjectStore, model: Model, folder: Path) -> list[str]:
    """Put a model's files into the bucket, but for those that are there.

    Args:
        store: the cluster's.
        model: which.
        folder: where its files stand, all of one edition.

    Returns:
        The keys that were put there; none when all were.

    Raises:
        StorageError, ConnectionFailed, ConfigurationError: it could not be kept.
    """
    edition = next(files for files in model.editions if all((folder / file.name).exists() for file in files))
    missing = _missing(store, model, edition)
    for file in missing:
        store.put_file(_key(model, file), folder / file.name)
    return [_key(model, file) for file in missing]


def _edition(store: ObjectStore, model: Model) -> tuple[ModelFile, ...]:
    """The files that are there: the first edition of which none is missing."""
    for files in model.editions:
        if not _missing(store, model, files):
            return files
    raise ModelUnavailable("does not have it")


def _missing(store: ObjectStore, model: Model, files: tuple[ModelFile, ...]) -> list[ModelFile]:
    prefix = f"models/{model.format}/{model.name}/"
    there = {found.key: found.size_bytes for found in store.list_objects(prefix)}
    return [file for file in files if there.get(_key(model, file)) != file.size_bytes]


def _key(model: Model, file: ModelFile) -> str:
    return f"models/{model.format}/{model.name}/{file.name}"
