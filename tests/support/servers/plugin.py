"""The `servers` fixture: one set of real servers for all processes of a test run, started by the first that asks."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from support.processes import is_alive
from support.servers.control import Servers, end_keeper, start_keeper
from support.servers.layout import read_layout

_FOLDER = "V2T_TEST_SERVERS"
"""Names the set's folder to all processes of a run; from outside, a folder of `make servers` that is to be used."""

_folder = pytest.StashKey[Path]()
_own = pytest.StashKey[int]()
"""The process id of the run, in the process that began it."""


def pytest_configure(config: pytest.Config) -> None:
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="v2t-test-servers-")
        config.stash[_own] = os.getpid()
        (Path(os.environ[_FOLDER]) / "owner").write_text(str(os.getpid()))
    config.stash[_folder] = Path(os.environ[_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash.get(_own, 0) != os.getpid():
        return
    os.environ.pop(_FOLDER, None)
    folder = config.stash[_folder]
    keeper = folder / "keeper"
    if keeper.exists():
        end_keeper(int(keeper.read_text()), folder / "set")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Servers:
    """Real servers that other tests use at the same time: do not end them, and use names of your own on them."""
    folder = request.config.stash[_folder]
    if (folder / "layout.json").exists():  # of `make servers`
        return Servers(read_layout(folder))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _start_once(folder)
    return Servers(read_layout(folder / "set"))


def _start_once(folder: Path) -> None:
    """Start the set unless it runs; its owner is the process that began the test run, and it ends with that."""
    keeper = folder / "keeper"
    if keeper.exists() and is_alive(int(keeper.read_text())):
        return
    folder.chmod(0o711)  # for PostgreSQL, which runs as another user than root
    process = start_keeper(folder / "set", int((folder / "owner").read_text()))
    keeper.write_text(str(process.pid))
    process.returncode = 0  # it outlives the worker that started it, which must not warn of that
