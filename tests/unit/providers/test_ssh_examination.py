"""Looking at a host step by step, against a real sshd of this account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import processes_about, until
from support.ssh_server import STAND_IN, SshServer, make_key, serve_ssh, settings_for

from v2t.domain.errors import ConfigurationError
from v2t.providers.ssh_whisper import SshWhisper
from v2t.providers.trial import Step

pytestmark = pytest.mark.servers  # sshd

STEPS = ["resolve", "connect", "host key", "login", "folder", "command", "model", "sample"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with serve_ssh(tmp_path_factory.mktemp("ssh") / "server") as server:
        yield server


async def examine(server: SshServer, work: Path, mode: str = "well", host: str = "", **changes: Any) -> list[Step]:
    provider = SshWhisper(settings_for(server, work, mode, **changes))
    try:
        return [step async for step in provider.examine(host or server.address)]
    finally:
        await provider.close()


def found_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_every_step_of_a_host_that_works(server: SshServer, tmp_path: Path) -> None:
    steps = await examine(server, tmp_path)
    assert [(step.name, step.ok) for step in steps] == [(name, True) for name in STEPS]
    details = {step.name: step.detail for step in steps}
    assert details["resolve"] == "127.0.0.1"
    assert "MB free" in details["folder"]
    assert details["command"].startswith(str(STAND_IN))
    assert all(0 <= step.seconds < 60 and step.detail.isprintable() for step in steps)
    assert found_in(tmp_path) == []
    await until(lambda: not processes_about(str(tmp_path)) and not server.sessions, "all has ended", 2.0)


@pytest.mark.parametrize(
    ("changes", "failing", "said"),
    [
        ({"host": "none.invalid"}, "resolve", "ssh_whisper.hosts"),
        ({"host": "127.0.0.1:1"}, "connect", "Connection refused"),
        ({"known_hosts": "/none"}, "host key", "ssh-keyscan"),
        ({"host": "nobody-at-all@127.0.0.1:PORT"}, "login", "authorized_keys"),
        ({"folder": "/none"}, "folder", "No such file or directory; set ssh_whisper.folder"),
        ({"command": ("/none/whisper-cli", "{audio}", "{output}")}, "command", "ssh_whisper.command"),
        ({"model_path": "/none/ggml-{name}.bin"}, "model", "/none/ggml-base.bin"),
        ({"mode": "fail"}, "sample", "error: unknown language"),
    ],
)
async def test_it_stops_at_the_first_step_that_fails(
    server: SshServer, tmp_path: Path, changes: dict[str, Any], failing: str, said: str
) -> None:
    if "host" in changes:
        changes = {**changes, "host": changes["host"].replace("PORT", str(server.port))}
    steps = await examine(server, tmp_path, **changes)
    assert [step.name for step in steps] == STEPS[: STEPS.index(failing) + 1]
    assert [step.ok for step in steps] == [True] * (len(steps) - 1) + [False]
    assert said in steps[-1].detail
    assert found_in(tmp_path) == []


async def test_a_command_that_is_given_no_model_needs_none(server: SshServer, tmp_path: Path) -> None:
    command = (str(STAND_IN), "well", "-", "{audio}", "en", "{output}")
    steps = await examine(server, tmp_path, command=command, model_path="/none/{name}")
    assert steps[STEPS.index("model")].detail == "the command is given none"
    assert steps[-1].ok


async def test_what_is_no_host_is_refused(server: SshServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a host"):
        await examine(server, tmp_path, host="a b")


async def test_a_key_that_is_refused_is_told_at_the_login(server: SshServer, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    steps = await examine(server, tmp_path / "work", key_file=str(tmp_path / "other"))
    assert (steps[-1].name, steps[-1].ok) == ("login", False)
