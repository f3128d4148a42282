from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.file_server import FileServer, serve_files
from support.small_models import FOLDER, SINGLE

from v2t.weights import catalogue, store


@pytest.fixture
def small_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (catalogue, store):
        monkeypatch.setattr(module, "models", lambda: (FOLDER, SINGLE))


@pytest.fixture(autouse=True)
def no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_ENDPOINT", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve_files() as files:
        yield files


@pytest.fixture
def other_server() -> Iterator[FileServer]:
    with serve_files() as files:
        yield files
