"""The worker's health server: `/health` for people, `/ready` for load balancers, `/metrics` for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from v2t.domain.errors import PortInUse

_CONNECTIONS = 64
"""More are answered with 503: whoever watches needs one or two."""

_WAITING_CONNECTIONS = 128
_KEEP_ALIVE_SECONDS = 5
_END_SECONDS = 2
_HEAD_BYTES = 16_384
_PATIENCE_SECONDS = 10.0
"""A connection that has not finished its request by then is closed."""


class Watched(Protocol):
    """What the server tells about."""

    def describe(self) -> dict[str, Any]:
        """All facts, for JSON."""
        ...

    def why_not_ready(self) -> str:
        """Why no work is taken now; empty: it is."""
        ...


def make_application(watched: Watched, more_metrics: Callable[[], str] = str) -> Starlette:
    """The three pages.

    Args:
        watched: what they tell about.
        more_metrics: further metrics in Prometheus' text format; may block for a moment.
    """

    async def health(_request: Request) -> Response:
        return JSONResponse(watched.describe())

    async def ready(_request: Request) -> Response:
        reason = watched.why_not_ready()
        return PlainTextResponse(f"{reason or 'ready'}\n", status_code=503 if reason else 200)

    async def metrics(_request: Request) -> Response:
        own = await asyncio.to_thread(generate_latest)
        return Response(own + (await asyncio.to_thread(more_metrics)).encode(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)])


@asynccontextmanager
async def health_server(address: str, port: int, application: Starlette) -> AsyncIterator[int]:
    """Serve the pages while the body runs; yields the port.

    Args:
        address: to listen on.
        port: 0: any free one.
        application: the pages.

    Raises:
        PortInUse: it cannot be listened on there.
    """
    listener = _listen(address, port)
    server = _Server(
        uvicorn.Config(
            application,
            access_log=False,
            log_config=None,
            lifespan="off",
            ws="none",
            http="h11",
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_END_SECONDS,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            server_header=False,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    reaper = asyncio.create_task(_reap(server))
    try:
        yield listener.getsockname()[1]
    finally:
        reaper.cancel()
        server.should_exit = True
        await asyncio.gather(task, reaper, return_exceptions=True)
        listener.close()


class _Server(uvicorn.Server):
    """Leaves signals to the worker, which drains."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


async def _reap(server: uvicorn.Server) -> None:
    """Close connections that are slow with their request: uvicorn gives a first request all the time in the world."""
    seen: dict[Any, float] = {}
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1.0)
        now = loop.time()
        seen = {connection: seen.get(connection, now) for connection in server.server_state.connections}
        for connection, since in seen.items():
            transport = getattr(connection, "transport", None)
            if now - since > _PATIENCE_SECONDS and transport is not None:
                transport.abort()


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(_WAITING_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"The health server cannot listen on {address}:{port} ({error.strerror}); set worker.health_address and "
            "worker.health_port to others, or the port to 0 for any"
        ) from error
    return listener
