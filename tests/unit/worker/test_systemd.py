from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2t.worker.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What NOTIFY_SOCKET says, and the socket that listens there."""
    if request.param == "path":
        name = address = str(tmp_path / "notify")
    else:
        name = f"@v2t-{uuid.uuid4().hex}"
        address = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(5)
        yield name, listener


def test_systemd_hears_that_the_service_is_ready_alive_and_ends(systemd: tuple[str, socket.socket]) -> None:
    name, listener = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("polling")
    notifier.status("slots used:\n1/2")
    notifier.alive()
    notifier.stopping("draining")
    heard = [listener.recv(4096).decode() for _ in range(4)]
    assert heard == [
        "READY=1\nSTATUS=polling",
        "STATUS=slots used: 1/2",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=draining",
    ]


def test_without_systemd_nothing_is_said() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000000"})
    notifier.ready("polling")
    assert notifier.watchdog_seconds == 0


def test_a_systemd_that_is_gone_does_not_disturb(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nowhere")}).alive()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_fed_only_where_it_is_meant_for_this_process(
    environment: dict[str, str], seconds: float
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "@v2t-test", **environment}).watchdog_seconds == seconds
