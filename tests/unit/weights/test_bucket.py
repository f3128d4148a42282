from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from support.small_models import FOLDER, SETTINGS, SINGLE, WEIGHTS

from v2t.domain.errors import ModelCorrupted, ModelUnavailable, StoreUnreachable
from v2t.storage.objects import DirectoryObjectStore
from v2t.weights.bucket import Bucket, push
from v2t.weights.catalogue import Model
from v2t.weights.store import ModelStore

pytestmark = pytest.mark.usefixtures("small_catalogue")

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryObjectStore:
    """The cluster's."""
    return DirectoryObjectStore(tmp_path / "objects")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the files of both models."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "config.json").write_bytes(SETTINGS)
    (folder / "model.bin").write_bytes(WEIGHTS)
    (folder / "ggml-small.bin").write_bytes(WEIGHTS)
    return folder


def pulling(tmp_path: Path, store: DirectoryObjectStore) -> ModelStore:
    """Another machine, which reaches no hub."""
    return ModelStore(tmp_path / "models", NOWHERE, Bucket(lambda: store))


@pytest.mark.parametrize(("model", "name"), [(FOLDER, "model.bin"), (SINGLE, "ggml-small.bin")])
def test_a_pushed_model_is_pulled_without_a_hub(
    model: Model, name: str, tmp_path: Path, store: DirectoryObjectStore, files: Path
) -> None:
    pushed = push(store, model, files)

    path = pulling(tmp_path, store).ensure("small", model.format)

    assert f"models/{model.format}/small/{name}" in pushed
    assert (path / name if path.is_dir() else path).read_bytes() == WEIGHTS


def test_what_is_there_is_not_pushed_again(store: DirectoryObjectStore, files: Path) -> None:
    assert len(push(store, FOLDER, files)) == 2
    assert push(store, FOLDER, files) == []
    store.delete("models/ct2/small/model.bin")
    assert push(store, FOLDER, files) == ["models/ct2/small/model.bin"]


def test_half_a_model_is_none(tmp_path: Path, store: DirectoryObjectStore, files: Path) -> None:
    push(store, FOLDER, files)
    store.delete("models/ct2/small/config.json")

    with pytest.raises(ModelUnavailable, match="the cluster's bucket: does not have it"):
        pulling(tmp_path, store).ensure("small", "ct2")


def test_a_file_of_the_right_size_that_is_another_is_refused(
    tmp_path: Path, store: DirectoryObjectStore, files: Path
) -> None:
    push(store, FOLDER, files)
    store.put_bytes("models/ct2/small/model.bin", bytes(len(WEIGHTS)))

    with pytest.raises(ModelCorrupted, match=r"model\.bin"):
        pulling(tmp_path, store).ensure("small", "ct2")


def test_a_store_that_is_away_leaves_the_other_sources(tmp_path: Path) -> None:
    def away() -> NoReturn:
        raise StoreUnreachable("it is away")

    with pytest.raises(ModelUnavailable, match=r"bucket: it is away; http://127\.0\.0\.1:1: "):
        ModelStore(tmp_path / "models", NOWHERE, Bucket(away)).ensure("small", "ct2")


def test_a_placed_model_does_not_open_the_store(tmp_path: Path, store: DirectoryObjectStore, files: Path) -> None:
    push(store, FOLDER, files)
    pulling(tmp_path, store).ensure("small", "ct2")

    def unexpected() -> NoReturn:
        raise AssertionError("opened")

    assert ModelStore(tmp_path / "models", NOWHERE, Bucket(unexpected)).ensure("small", "ct2").is_dir()
