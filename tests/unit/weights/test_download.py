from __future__ import annotations

from pathlib import Path

import pytest
from support.file_server import FileServer
from support.small_models import WEIGHTS, file_of

from v2t.domain.errors import ModelCorrupted, ModelUnavailable
from v2t.weights.download import Download, open_client

FILE = file_of("model.bin", WEIGHTS)


def run(url: str, folder: Path, token: str = "") -> list[int]:
    told: list[int] = []
    with open_client() as client:
        Download(client, url, FILE, folder, token).run(told.append)
    return told


def test_a_file_is_brought_whole_and_progress_told(server: FileServer, tmp_path: Path) -> None:
    server.content["/model.bin"] = WEIGHTS
    told = run(f"{server.address}/model.bin", tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == WEIGHTS
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]
    assert told[-1] == len(WEIGHTS)
    assert told == sorted(told)


def test_a_transfer_that_breaks_off_goes_on_from_where_it_was(server: FileServer, tmp_path: Path) -> None:
    server.content["/model.bin"] = WEIGHTS
    server.break_off_after = [1000, 500]
    run(f"{server.address}/model.bin", tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == WEIGHTS
    assert [seen.headers.get("Range") for seen in server.seen] == [None, "bytes=1000-", "bytes=1500-"]
    assert server.seen[1].headers["If-Range"].startswith('"')


def test_a_killed_download_is_resumed_by_the_next(server: FileServer, tmp_path: Path) -> None:
    server.content["/model.bin"] = WEIGHTS
    (tmp_path / "model.bin.partial").write_bytes(WEIGHTS[:777])
    run(f"{server.address}/model.bin", tmp_path)
    assert server.seen[0].headers["Range"] == "bytes=777-"
    assert (tmp_path / "model.bin").read_bytes() == WEIGHTS


def test_a_download_that_lacked_only_its_rename_asks_for_nothing(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "model.bin.partial").write_bytes(WEIGHTS)
    run(f"{server.address}/model.bin", tmp_path)
    assert not server.seen
    assert (tmp_path / "model.bin").exists()


def test_a_server_without_ranges_sends_the_whole_again(server: FileServer, tmp_path: Path) -> None:
    server.content["/model.bin"] = WEIGHTS
    server.honours_ranges = False
    (tmp_path / "model.bin.partial").write_bytes(b"x" * 777)
    run(f"{server.address}/model.bin", tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == WEIGHTS


def test_a_damaged_beginning_is_thrown_away(server: FileServer, tmp_path: Path) -> None:
    server.content["/model.bin"] = WEIGHTS
    (tmp_path / "model.bin.partial").write_bytes(b"\0" * 777)
    run(f"{server.address}/model.bin", tmp_path)
    assert [seen.headers.get("Range") for seen in server.seen] == ["bytes=777-", None]
    assert (tmp_path / "model.bin").read_bytes() == WEIGHTS


def test_a_file_that_changed_on_the_server_is_begun_again(server: FileServer, tmp_path: Path) -> None:
    server.content["/model.bin"] = WEIGHTS
    (tmp_path / "model.bin.partial").write_bytes(b"old")
    (tmp_path / "model.bin.partial.etag").write_text('"of the old one"', encoding="utf-8")
    run(f"{server.address}/model.bin", tmp_path)
    assert len(server.seen) == 1
    assert (tmp_path / "model.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("content", [WEIGHTS[:-1] + b"!", WEIGHTS[:-1], WEIGHTS + b"!", b""])
def test_another_file_is_refused_and_not_kept(server: FileServer, tmp_path: Path, content: bytes) -> None:
    server.content["/model.bin"] = content
    with pytest.raises(ModelCorrupted, match=r"127\.0\.0\.1 has another model\.bin"):
        run(f"{server.address}/model.bin", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_transfer_that_always_breaks_off_is_given_up_and_kept(server: FileServer, tmp_path: Path) -> None:
    server.content["/model.bin"] = WEIGHTS
    server.break_off_after = [10] * 10
    with pytest.raises(ModelUnavailable, match=r"127\.0\.0\.1 failed"):
        run(f"{server.address}/model.bin", tmp_path)
    assert (tmp_path / "model.bin.partial").read_bytes() == WEIGHTS[:50]


def test_a_missing_file_is_reported_in_one_line(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"^127\.0\.0\.1 answered 404 Not Found$"):
        run(f"{server.address}/model.bin", tmp_path)


def test_an_unreachable_server_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"^127\.0\.0\.1 cannot be reached"):
        run("http://127.0.0.1:1/model.bin", tmp_path)


@pytest.mark.parametrize("url", ["http://[/model.bin", "http://", "http://host:port/x"])
def test_a_malformed_address_is_reported(tmp_path: Path, url: str) -> None:
    with pytest.raises(ModelUnavailable):
        run(url, tmp_path)


def test_an_unusable_proxy_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTP_PROXY", "carrier-pigeon://coop:1")
    with pytest.raises(ModelUnavailable, match="proxy"):
        run("http://example.org/model.bin", tmp_path)


def test_the_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.address)
    server.content["http://models.invalid/model.bin"] = WEIGHTS
    run("http://models.invalid/model.bin", tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == WEIGHTS


def test_a_redirect_to_another_host_does_not_get_the_token(
    server: FileServer, other_server: FileServer, tmp_path: Path
) -> None:
    server.redirects["/model.bin"] = f"{other_server.address}/stored"
    other_server.content["/stored"] = WEIGHTS
    run(f"{server.address}/model.bin", tmp_path, token="secret")  # noqa: S106 - not one
    assert server.seen[0].headers["Authorization"] == "Bearer secret"
    assert "Authorization" not in other_server.seen[0].headers
    assert (tmp_path / "model.bin").read_bytes() == WEIGHTS


def test_a_redirect_keeps_the_range(server: FileServer, other_server: FileServer, tmp_path: Path) -> None:
    server.redirects["/model.bin"] = f"{other_server.address}/stored"
    other_server.content["/stored"] = WEIGHTS
    other_server.break_off_after = [4096]
    run(f"{server.address}/model.bin", tmp_path)
    assert [seen.headers.get("Range") for seen in other_server.seen] == [None, "bytes=4096-"]
    assert (tmp_path / "model.bin").read_bytes() == WEIGHTS
