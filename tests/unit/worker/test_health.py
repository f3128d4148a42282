from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any

import httpx
import pytest

from v2t.domain.errors import PortInUse
from v2t.worker import health
from v2t.worker.health import health_server, make_application

LOOPBACK = "127.0.0.1"


class Watched:
    def __init__(self) -> None:
        self.reason = ""

    def describe(self) -> dict[str, Any]:
        return {"status": self.reason or "ready"}

    def why_not_ready(self) -> str:
        return self.reason


async def get(port: int, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://{LOOPBACK}:{port}{path}")


async def test_health_is_json_also_while_the_worker_is_not_ready() -> None:
    watched = Watched()
    async with health_server(LOOPBACK, 0, make_application(watched)) as port:
        watched.reason = "draining"
        answer = await get(port, "/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "draining"})


async def test_ready_says_why_not() -> None:
    watched = Watched()
    async with health_server(LOOPBACK, 0, make_application(watched)) as port:
        ready = await get(port, "/ready")
        watched.reason = "waiting for Temporal"
        waiting = await get(port, "/ready")
    assert (ready.status_code, ready.text) == (200, "ready\n")
    assert (waiting.status_code, waiting.text) == (503, "waiting for Temporal\n")


async def test_metrics_are_our_own_and_the_further_ones() -> None:
    from v2t import metrics

    metrics.SLOTS.labels("engine", "total").set(3)
    application = make_application(Watched(), lambda: "temporal_request 7\n")
    async with health_server(LOOPBACK, 0, application) as port:
        answer = await get(port, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'v2t_worker_slots{kind="engine",state="total"} 3.0' in answer.text
    assert answer.text.endswith("temporal_request 7\n")


async def test_other_pages_and_methods_are_refused() -> None:
    async with health_server(LOOPBACK, 0, make_application(Watched())) as port:
        assert (await get(port, "/")).status_code == 404
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.post(f"http://{LOOPBACK}:{port}/health")).status_code == 405


async def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"{port}.*worker.health_port"):
            async with health_server(LOOPBACK, port, make_application(Watched())):
                pass


async def test_a_client_that_never_ends_its_request_is_closed_and_others_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "_PATIENCE_SECONDS", 1.0)
    async with health_server(LOOPBACK, 0, make_application(Watched())) as port:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        await writer.drain()
        assert (await get(port, "/ready")).status_code == 200
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_a_head_without_end_is_refused() -> None:
    async with health_server(LOOPBACK, 0, make_application(Watched())) as port:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"GET /health HTTP/1.1\r\nX: " + b"a" * 200_000)
        answer = b""
        async with asyncio.timeout(20):
            with suppress(ConnectionResetError):  # closed while we still wrote
                answer = await reader.read()
        assert not answer.startswith(b"HTTP/1.1 200")
        writer.close()
        assert json.loads((await get(port, "/health")).text)["status"] == "ready"


async def test_a_crowd_of_idle_connections_does_not_stop_the_end() -> None:
    async with health_server(LOOPBACK, 0, make_application(Watched())) as port:
        crowd = [await asyncio.open_connection(LOOPBACK, port) for _ in range(100)]
    for _, writer in crowd:
        writer.close()
