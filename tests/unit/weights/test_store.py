from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.file_server import FileServer
from support.small_models import FOLDER, SETTINGS, WEIGHTS

from v2t.domain.errors import (
    InputNotFound,
    InputUnreadable,
    ModelCorrupted,
    ModelUnavailable,
    StorageFull,
    UnknownModel,
)
from v2t.weights import integrity
from v2t.weights.catalogue import ModelFile
from v2t.weights.store import ModelStore

pytestmark = pytest.mark.usefixtures("small_catalogue")

CT2_ADDRESS = "/owner/ct2/resolve/revision"
_HOLD_LOCK = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
GGML_ADDRESS = "/owner/ggml/resolve/revision/ggml-small.bin"


@pytest.fixture
def hub(server: FileServer) -> FileServer:
    server.content |= {
        f"{CT2_ADDRESS}/config.json": SETTINGS,
        f"{CT2_ADDRESS}/model.bin": WEIGHTS,
        GGML_ADDRESS: WEIGHTS,
    }
    return server


@pytest.fixture
def models(tmp_path: Path, hub: FileServer) -> ModelStore:
    return ModelStore(tmp_path / "models", hub.address)


def test_a_model_that_is_not_placed_has_no_path(models: ModelStore) -> None:
    assert models.model_path("small", "ct2") is None
    assert models.installed() == []


def test_a_model_of_one_file_is_placed_as_a_file(models: ModelStore, tmp_path: Path) -> None:
    path = models.ensure("small", "ggml")
    assert path == tmp_path / "models/ggml/small/ggml-small.bin"
    assert path.read_bytes() == WEIGHTS
    assert models.model_path("small", "ggml") == path


def test_a_model_of_several_files_is_placed_as_a_folder(models: ModelStore, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = models.ensure("small", "ct2", lambda done, total: told.append((done, total)))
    assert path == tmp_path / "models/ct2/small"
    assert sorted(file.name for file in path.iterdir()) == [".verified.json", "config.json", "model.bin"]
    assert told[-1] == (FOLDER.size_bytes, FOLDER.size_bytes)
    assert told == sorted(told)


def test_a_placed_model_asks_nobody(models: ModelStore, hub: FileServer) -> None:
    models.ensure("small", "ct2")
    asked = len(hub.seen)
    models.ensure("small", "ct2")
    assert len(hub.seen) == asked


def test_many_pulls_at_once_download_once(tmp_path: Path, hub: FileServer) -> None:
    paths: list[Path] = []

    def pull() -> None:
        paths.append(ModelStore(tmp_path / "models", hub.address).ensure("small", "ct2"))

    threads = [threading.Thread(target=pull) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [tmp_path / "models/ct2/small"] * 6
    assert [seen.path for seen in hub.seen] == [f"{CT2_ADDRESS}/config.json", f"{CT2_ADDRESS}/model.bin"]


def test_another_process_that_places_the_model_is_waited_for(tmp_path: Path, hub: FileServer) -> None:
    incoming = tmp_path / "models/.incoming"
    incoming.mkdir(parents=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, str(incoming / "ggml-small.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin
    assert holder.stdout
    holder.stdout.readline()
    thread = threading.Thread(target=ModelStore(tmp_path / "models", hub.address).ensure, args=("small", "ggml"))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    assert not hub.seen
    holder.communicate(b"\n", timeout=10)
    thread.join(10)
    assert [seen.path for seen in hub.seen] == [GGML_ADDRESS]


def test_a_broken_off_pull_goes_on_with_the_next(models: ModelStore, hub: FileServer) -> None:
    hub.break_off_after = [len(SETTINGS), *[100] * 5]
    with pytest.raises(ModelUnavailable):
        models.ensure("small", "ct2")
    assert models.model_path("small", "ct2") is None
    models.ensure("small", "ct2")
    assert hub.seen[-1].headers["Range"] == "bytes=500-"
    assert [seen.path.rpartition("/")[2] for seen in hub.seen].count("config.json") == 1


def test_what_a_former_pull_left_does_not_end_up_beside_the_model(models: ModelStore, tmp_path: Path) -> None:
    incoming = tmp_path / "models/.incoming/ggml-small"
    incoming.mkdir(parents=True)
    (incoming / "another.bin.partial").write_bytes(b"left over")
    path = models.ensure("small", "ggml")
    assert sorted(file.name for file in path.parent.iterdir()) == [".verified.json", "ggml-small.bin"]


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data[:-1] + b"!", lambda data: b""])
def test_a_damaged_placed_file_is_refused(models: ModelStore, damage: Callable[[bytes], bytes]) -> None:
    path = models.ensure("small", "ggml")
    path.write_bytes(damage(WEIGHTS))
    for use in (models.model_path, models.ensure):
        with pytest.raises(ModelCorrupted, match="v2t models remove small"):
            use("small", "ggml")


def test_a_placed_model_that_lost_a_file_is_refused(models: ModelStore) -> None:
    (models.ensure("small", "ct2") / "config.json").unlink()
    with pytest.raises(ModelCorrupted, match=r"config\.json is damaged or missing"):
        models.model_path("small", "ct2")


def test_an_unchanged_file_is_not_read_again(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = models.ensure("small", "ggml")
    read: list[Path] = []

    def note(path: Path, _file: ModelFile) -> bool:
        read.append(path)
        return True

    monkeypatch.setattr(integrity, "is_whole", note)
    models.model_path("small", "ggml")
    assert read == []
    os.utime(path)
    models.model_path("small", "ggml")
    models.model_path("small", "ggml")
    assert read == [path]


def test_verify_reads_even_what_looks_unchanged(models: ModelStore) -> None:
    path = models.ensure("small", "ggml")
    assert [placed.path for placed in models.verify("small")] == [path]
    before = path.stat()
    path.write_bytes(WEIGHTS[:-1] + b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert models.model_path("small", "ggml") == path
    with pytest.raises(ModelCorrupted):
        models.verify()


def test_verify_of_a_model_that_is_not_placed_names_the_next_step(models: ModelStore) -> None:
    with pytest.raises(ModelUnavailable, match="v2t models pull small"):
        models.verify("small")


def test_a_removed_model_is_gone_and_can_be_pulled_again(models: ModelStore, tmp_path: Path) -> None:
    models.ensure("small", "ggml")
    models.ensure("small", "ct2")
    assert {placed.model.format for placed in models.remove("small")} == {"ct2", "ggml"}
    assert models.installed() == []
    assert not [path for path in (tmp_path / "models").rglob("*") if path.is_file() and path.suffix != ".lock"]
    models.ensure("small", "ggml")


def test_remove_takes_what_a_broken_pull_left(models: ModelStore, hub: FileServer, tmp_path: Path) -> None:
    hub.break_off_after = [100] * 5
    with pytest.raises(ModelUnavailable):
        models.ensure("small", "ggml")
    models.remove("small")
    assert not list((tmp_path / "models").rglob("*.partial"))


def test_an_unknown_model_is_refused(models: ModelStore) -> None:
    with pytest.raises(UnknownModel):
        models.ensure("huge", "ggml")


def test_without_any_source_the_line_names_those_tried_and_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        ModelStore(tmp_path, "http://127.0.0.1:1").ensure("small", "ct2")
    message = caught.value.message
    assert "http://127.0.0.1:1: 127.0.0.1 cannot be reached" in message
    assert "v2t models pull small --from FILE|URL" in message
    assert "\n" not in message


def test_the_mirror_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, hub: FileServer, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    ModelStore(tmp_path).ensure("small", "ggml")
    assert [seen.path for seen in hub.seen] == [GGML_ADDRESS]


def test_a_configured_hub_comes_before_the_mirror(
    monkeypatch: pytest.MonkeyPatch, hub: FileServer, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    ModelStore(tmp_path, hub.address).ensure("small", "ggml")


def test_the_hub_gets_the_token_and_a_named_server_does_not(
    monkeypatch: pytest.MonkeyPatch, models: ModelStore, hub: FileServer, other_server: FileServer
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    other_server.content["/a.bin"] = WEIGHTS
    models.ensure("small", "ggml", source=f"{other_server.address}/a.bin")
    models.ensure("small", "ct2")
    assert "Authorization" not in other_server.seen[0].headers
    assert {seen.headers["Authorization"] for seen in hub.seen} == {"Bearer secret"}


def test_a_model_comes_from_a_named_folder(models: ModelStore, hub: FileServer, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(SETTINGS)
    (tmp_path / "model.bin").write_bytes(WEIGHTS)
    path = models.ensure("small", "ct2", source=str(tmp_path))
    assert (path / "model.bin").read_bytes() == WEIGHTS
    assert (tmp_path / "model.bin").exists()
    assert not hub.seen


def test_a_model_comes_from_a_named_file_whatever_it_is_called(models: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "renamed").write_bytes(WEIGHTS)
    assert models.ensure("small", "ggml", source=str(tmp_path / "renamed")).name == "ggml-small.bin"


def test_a_model_of_several_files_comes_from_below_a_named_url(models: ModelStore, other_server: FileServer) -> None:
    other_server.content |= {"/mirror/config.json": SETTINGS, "/mirror/model.bin": WEIGHTS}
    models.ensure("small", "ct2", source=f"{other_server.address}/mirror/")


@pytest.mark.parametrize("content", [b"short", WEIGHTS[:-1] + b"!"])
def test_a_named_file_that_is_another_is_refused(models: ModelStore, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wrong.bin").write_bytes(content)
    with pytest.raises(ModelCorrupted):
        models.ensure("small", "ggml", source=str(tmp_path / "wrong.bin"))
    assert models.model_path("small", "ggml") is None


def test_a_named_source_that_cannot_be_used_is_a_usage_error(models: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        models.ensure("small", "ggml", source=str(tmp_path / "missing"))
    with pytest.raises(InputNotFound, match=r"config\.json, model\.bin"):
        models.ensure("small", "ct2", source=str(tmp_path))
    with pytest.raises(InputUnreadable):
        models.ensure("small", "ggml", source="/dev/null")
    (tmp_path / "one").write_bytes(WEIGHTS)
    with pytest.raises(InputUnreadable):
        models.ensure("small", "ct2", source=str(tmp_path / "one"))


def test_a_disk_without_room_is_refused_before_anything_is_asked(
    models: ModelStore, hub: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=5))
    with pytest.raises(StorageFull, match=r"set models\.folder"):
        models.ensure("small", "ggml")
    assert not hub.seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount the small file system this needs")
def test_a_disk_that_fills_up_is_named_and_left_empty(
    tmp_path: Path, hub: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(tmp_path)], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 40))
        with pytest.raises(StorageFull, match="No space is left"):
            ModelStore(tmp_path, hub.address).ensure("small", "ggml")
        assert not list(tmp_path.rglob("*.partial"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_read_only_folder_of_models_can_be_used(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = models.ensure("small", "ggml")
    (path.parent / ".verified.json").unlink()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(integrity, "remember", refuse)
    assert models.model_path("small", "ggml") == path
