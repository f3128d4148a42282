"""`v2t health` against real servers, all well and each of them lost in turn."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import Command, Outcome
from support.processes import wait_for
from support.servers import Server, Servers, running_servers
from support.workers import WorkerProcess, running_workers

from v2t import wiring
from v2t.config import load_settings
from v2t.storage.setup import prepare_storage

pytestmark = pytest.mark.servers

MODEL = "tiny.en"


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    with running_servers() as servers:
        yield servers


@pytest.fixture(scope="module")
def command(own_servers: Servers, models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command on a prepared cluster with one worker."""
    folder = tmp_path_factory.mktemp("health")
    environment = {**own_servers.environment, "V2T_MODELS__DEFAULT": MODEL, "V2T_ENGINE__SLOTS": "1"}
    command = Command(folder, models_folder, environment)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings()
        prepare_storage(wiring.store_account(settings), wiring.buckets(settings))
    worker = WorkerProcess("m4-1", folder / "m4-1", {**environment, "V2T_MODELS__FOLDER": str(models_folder)})
    with running_workers(worker):
        yield command


@pytest.fixture(autouse=True)
def _all_well_again(command: Command, own_servers: Servers) -> Iterator[None]:
    yield
    own_servers.heal()
    # the worker finds a server that was gone some seconds later
    wait_for(lambda: command.run("health", "--timeout", "5").exit_code == 0, "the cluster can transcribe", 60)


def parts(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in outcome.json["data"]["parts"]}


def secrets(servers: Servers) -> tuple[str, ...]:
    layout = servers.layout
    return layout.secret_key, layout.database_password, layout.redis_password


def look(command: Command, servers: Servers) -> tuple[Outcome, dict[str, dict[str, Any]]]:
    outcome = command.run("health", "--json", "--timeout", "5")
    assert outcome.json["data"]["seconds"] < 10
    assert not any(secret in outcome.stdout + outcome.stderr for secret in secrets(servers))
    return outcome, parts(outcome)


def test_all_is_well(command: Command, own_servers: Servers) -> None:
    outcome, found = look(command, own_servers)
    assert outcome.exit_code == 0, outcome.stdout
    assert {part["status"] for part in found.values()} == {"ok"}, found
    assert {"temporal", "queue v2t", "queue v2t-cpu", "workers", "object store", "database", "redis"} <= set(found)
    assert "3 of 3 nodes" in found["object store"]["summary"]
    assert found["object store"]["facts"]["write_quorum"] == 2
    assert found["database"]["facts"]["revision"] == found["database"]["facts"]["wanted_revision"]
    (worker,) = (part for name, part in found.items() if name.startswith("worker "))
    assert worker["facts"]["identity"].startswith("m4-1:")
    assert worker["facts"]["identity"].endswith(":cpu")


def test_lines_are_for_people(command: Command) -> None:
    outcome = command.run("health")
    lines = outcome.stdout.splitlines()
    assert outcome.exit_code == 0
    assert all(line.startswith("ok  ") for line in lines[:-1]), outcome.stdout
    assert lines[-1].startswith("can transcribe")
    assert "\x1b" not in outcome.stdout


@pytest.mark.parametrize("name", ["postgresql", "temporal"])
def test_a_server_that_is_gone(command: Command, own_servers: Servers, name: str) -> None:
    server: Server = getattr(own_servers, name)
    server.kill()
    outcome, found = look(command, own_servers)
    part = found["database" if name == "postgresql" else "temporal"]
    assert (part["status"], part["required"], outcome.exit_code) == ("failed", True, 5)
    assert part["next_step"]


def test_without_redis_it_is_slower_no_more(command: Command, own_servers: Servers) -> None:
    own_servers.redis.kill()
    outcome, found = look(command, own_servers)
    assert (found["redis"]["status"], outcome.exit_code) == ("degraded", 0), found
    assert "jobs go on without it" in found["redis"]["next_step"]


def test_one_store_node_of_three_is_not_missed(command: Command, own_servers: Servers) -> None:
    own_servers.minio[2].kill()
    outcome, found = look(command, own_servers)
    assert (found["object store"]["status"], outcome.exit_code) == ("degraded", 0), found["object store"]
    assert "2 of 3 nodes" in found["object store"]["summary"]


def test_two_store_nodes_of_three_are(command: Command, own_servers: Servers) -> None:
    for node in own_servers.minio[1:]:
        node.kill()
    outcome, found = look(command, own_servers)
    assert found["object store"]["status"] == "failed", found["object store"]
    assert outcome.exit_code != 0


def test_the_store_is_gone(command: Command, own_servers: Servers) -> None:
    for node in own_servers.minio:
        node.kill()
    outcome, found = look(command, own_servers)
    assert (found["object store"]["status"], outcome.exit_code) == ("failed", 5)


@pytest.mark.parametrize("name", ["postgresql", "temporal", "redis"])
def test_a_server_that_hangs_is_a_line_like_others(command: Command, own_servers: Servers, name: str) -> None:
    server: Server = getattr(own_servers, name)
    server.pause()
    try:
        outcome, found = look(command, own_servers)
    finally:
        server.resume()
    part = found["database" if name == "postgresql" else name]
    assert part["status"] == ("degraded" if name == "redis" else "failed")
    assert outcome.exit_code == (0 if name == "redis" else 5)


def test_a_port_that_swallows_everything(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        address = f"127.0.0.1:{hole.getsockname()[1]}"
        lost = Command(
            command.folder,
            command.models,
            {
                **command.extra,
                "V2T_TEMPORAL__ADDRESS": address,
                "V2T_STORAGE__ENDPOINT": address,
                "V2T_CACHE__REDIS_URL": f"redis://:hidden@{address}/0",
            },
        )
        outcome = lost.run("health", "--json", "--timeout", "2", seconds=20)
    assert outcome.exit_code == 5
    assert outcome.json["data"]["seconds"] < 5
    found = parts(outcome)
    assert found["temporal"]["status"] == found["object store"]["status"] == "failed"
    assert found["redis"]["status"] == "degraded"
    assert "hidden" not in outcome.stdout


def test_a_wrong_secret_is_a_matter_of_settings(command: Command) -> None:
    wrong = Command(command.folder, command.models, {**command.extra, "V2T_STORAGE__SECRET_KEY": "not-the-secret"})
    outcome = wrong.run("health", "--json")
    part = parts(outcome)["object store"]
    assert (part["code"], outcome.exit_code) == ("CredentialsRefused", 3)
    assert "not-the-secret" not in outcome.stdout
