from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.processes import is_alive, until, until_gone

from v2t.process import service as service_module
from v2t.process.service import Service

SLEEP = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")
DEAF = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
)


@pytest.fixture
async def open_service(tmp_path: Path) -> AsyncIterator[Callable[[tuple[str, ...]], Service]]:
    opened: list[Service] = []

    def open_one(command: tuple[str, ...]) -> Service:
        opened.append(Service(command, tmp_path / "service.log"))
        return opened[-1]

    yield open_one
    for service in opened:
        await service.stop()


async def until_says_up(service: Service, times: int = 1) -> None:
    await until(lambda: service.log.read_text().count("up") >= times, "the service says that it is up")


async def test_it_runs_until_it_is_stopped(open_service: Callable[..., Service]) -> None:
    service = open_service(SLEEP)
    assert (service.pid, service.exit_code) == (0, None)
    service.start()
    await until_says_up(service)
    assert is_alive(service.pid)
    assert service.exit_code is None
    await service.stop()
    assert not is_alive(service.pid)


async def test_one_that_does_not_listen_ends_all_the_same(open_service: Callable[..., Service]) -> None:
    service = open_service(DEAF)
    service.start()
    await until_says_up(service)
    await service.stop()
    assert not is_alive(service.pid)


async def test_its_exit_code_tells_that_it_ended_by_itself(open_service: Callable[..., Service]) -> None:
    service = open_service((sys.executable, "-c", "raise SystemExit(7)"))
    service.start()
    await until_gone(service.pid)
    assert service.exit_code == 7


async def test_stopping_before_the_start_or_twice_is_no_error(open_service: Callable[..., Service]) -> None:
    service = open_service(SLEEP)
    await service.stop()
    service.start()
    await service.stop()
    await service.stop()


async def test_one_that_dies_is_started_again(open_service: Callable[..., Service]) -> None:
    service = open_service(SLEEP)
    service.start()
    service.keep_running()
    await until_says_up(service)
    first = service.pid
    os.kill(first, 9)
    await until_says_up(service, times=2)
    assert service.pid != first
    assert is_alive(service.pid)


async def test_stopping_also_stops_the_restarting(open_service: Callable[..., Service]) -> None:
    service = open_service(SLEEP)
    service.start()
    service.keep_running()
    await until_says_up(service)
    await service.stop()
    await asyncio.sleep(3 * service_module._RESTART_SECONDS)
    assert not is_alive(service.pid)


async def test_it_has_a_session_of_its_own_so_that_interrupts_pass_it_by(open_service: Callable[..., Service]) -> None:
    service = open_service(SLEEP)
    service.start()
    assert os.getsid(service.pid) == service.pid


def test_it_dies_with_its_owner_however_that_dies(tmp_path: Path) -> None:
    owner = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from v2t.process.service import Service\n"
        f"service = Service({DEAF!r}, Path(sys.argv[1]))\n"
        "service.start()\n"
        "print(service.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", owner, str(tmp_path / "service.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        asyncio.run(until(lambda: "up" in (tmp_path / "service.log").read_text(), "the service says that it is up"))
        assert is_alive(pid)
        process.kill()
    asyncio.run(until_gone(pid))
