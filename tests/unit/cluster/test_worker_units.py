from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import jinja2
import pytest

from v2t.cluster.shipped import shipped
from v2t.cluster.worker_units import WorkerUnits, parse_units
from v2t.domain.errors import ConnectionFailed

SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
show*) cat "$STATES" ;;
*@3*) exit 1 ;;
esac
"""
"""As root's side calls it: it knows the states of the test, and refuses to touch worker 3."""


def states(*of_workers: str) -> str:
    return "\n\n".join(
        f"Id=v2t-worker@{number}.service\nActiveState={state}\nMainPID={number * 100}"
        for number, state in enumerate(of_workers, 1)
    )


class Root:
    """Root's side as the worker role writes it, for workers 1 to 4 of which the first stays; systemd is a double."""

    def __init__(self, folder: Path) -> None:
        source = (shipped("roles") / "worker" / "templates" / "v2t-units.sh.j2").read_text()
        self.program = folder / "units.sh"
        self.program.write_text(jinja2.Template(source).render(worker_instances=1, _worker_most=4))
        (folder / "systemctl").write_text(SYSTEMCTL)
        (folder / "systemctl").chmod(0o755)
        self.socket = folder / "units.socket"
        self.calls, self.states = folder / "calls", folder / "states"
        self.environment = os.environ | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "CALLS": str(self.calls),
            "STATES": str(self.states),
        }
        self.told: list[str] = []
        self.units = WorkerUnits(1, 65_000, self.told.append, self.socket)

    def become(self, *of_workers: str) -> None:
        self.states.write_text(states(*of_workers) + "\n")
        self.calls.write_text("")

    @property
    def orders(self) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if not line.startswith("show")]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            self.program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self.environment,
        )
        said, _ = await process.communicate(await reader.readline())
        writer.write(said)
        writer.close()


@pytest.fixture
async def root(tmp_path: Path) -> AsyncIterator[Root]:
    root = Root(tmp_path)
    async with await asyncio.start_unix_server(root.answer, root.socket):
        yield root


async def test_workers_that_run_are_known_by_their_number_and_the_first_of_them_last(root: Root) -> None:
    root.become("active", "activating", "deactivating", "inactive")
    found = await root.units.running()
    assert [(one.name, one.pid, one.lasts) for one in found] == [("1", 100, True), ("2", 200, False)]
    names = " ".join(f"v2t-worker@{number}.service" for number in (1, 2, 3, 4))
    assert root.calls.read_text() == f"show --property=Id,ActiveState,MainPID {names}\n"


async def test_the_first_that_does_not_run_is_started(root: Root) -> None:
    root.become("active", "deactivating", "active", "failed")
    await root.units.start()
    assert root.orders == ["--no-block start v2t-worker@4.service"]
    assert root.told == ["worker 4 starts"]


async def test_none_is_started_while_all_run_or_end(root: Root) -> None:
    root.become("active", "deactivating", "active", "active")
    await root.units.start()
    assert root.orders == []


async def test_one_is_told_to_end_and_not_waited_for(root: Root) -> None:
    root.become("active", "active")
    await root.units.stop("2")
    await root.units.close()
    assert root.orders == ["--no-block stop v2t-worker@2.service"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("1", "workers 1 to 1 are not ended"),
        ("3", "systemd refuses"),
        ("5", "there are workers 1 to 4"),
        ("0", "there are workers 1 to 4"),
        ("2;id", "not the number of a worker"),
        ("-1", "not the number of a worker"),
        ("99999999999999999999", "not the number of a worker"),
        ("", "not the number of a worker"),
    ],
)
async def test_what_root_refuses_is_said(root: Root, words: str, reason: str) -> None:
    root.become("active")
    with pytest.raises(ConnectionFailed, match=f"refused: {reason}"):
        await root.units.stop(words)
    assert [order for order in root.orders if "@3" not in order] == []


async def test_root_knows_three_words_only(root: Root) -> None:
    root.become("active")
    reader, writer = await asyncio.open_unix_connection(root.socket)
    writer.write(b"restart 2\n")
    assert await reader.read() == b"not a word that is known\n"
    writer.close()
    assert root.calls.read_text() == ""


async def test_where_root_does_not_listen_the_setting_is_named(tmp_path: Path) -> None:
    units = WorkerUnits(1, 8081, lambda _line: None, tmp_path / "none.socket")
    with pytest.raises(ConnectionFailed, match="worker_instances_most is set"):
        await units.running()


def test_units_are_read_in_any_order() -> None:
    twelfth = "MainPID=0\nId=v2t-worker@12.service\nActiveState=inactive"
    first = "Id=v2t-worker@1.service\nMainPID=7\nActiveState=active"
    assert parse_units(f"{twelfth}\n\n{first}\n") == {12: ("inactive", 0), 1: ("active", 7)}
