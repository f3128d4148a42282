"""The gateway's socket: notifications of the object store come in by HTTP, and are answered once they are safe.

The store keeps what is not answered with 200 in its queue directory and sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from v2t.domain.errors import ConfigurationError, PortInUse, UsageError, V2TError
from v2t.gateway.intake import Intake
from v2t.gateway.uploads import parse_notification

if TYPE_CHECKING:
    from v2t.config import Settings

_log = logging.getLogger(__name__)

_BODY_BYTES = 1024 * 1024
_DRAIN_SECONDS = 10


class _TooLarge(Exception):
    """The body is over the limit."""


class UploadsApi:
    """Answers requests.

    Args:
        intake: what takes the uploads in.
        token: what a store must show.
        bucket: where uploads lie.
    """

    def __init__(self, intake: Intake, token: str, bucket: str) -> None:
        self._intake = intake
        self._expected = f"Bearer {token}".encode()
        self._bucket = bucket

    @property
    def application(self) -> Starlette:
        """As a server runs it."""
        return Starlette(
            routes=[
                Route("/uploads", self.take_uploads, methods=["POST"]),
                Route("/health", self.tell_health, methods=["GET"]),
            ]
        )

    async def take_uploads(self, request: Request) -> Response:
        """200 once Temporal has accepted every upload; 401, 400, 413 for what is wrong; 503 to be asked again."""
        shown = request.headers.get("authorization", "").encode(errors="replace")
        if not hmac.compare_digest(shown, self._expected):
            return _refuse(401, "Unauthorized", "the token is missing or wrong")
        try:
            uploads = parse_notification(await _read(request), self._bucket)
            await self._intake.take(uploads)
        except _TooLarge as error:
            return _refuse(413, "TooLarge", str(error))
        except UsageError as error:
            return _refuse(400, error.code, error.message)
        except ClientDisconnect:
            return _refuse(400, "ClientDisconnect", "the client went away")
        except V2TError as error:
            _log.warning("uploads not accepted: %s", error.message, extra={"action": "take_uploads"})
            return _refuse(503, error.code, "not accepted yet; send it again")
        _log.info("%d uploads taken", len(uploads), extra={"action": "take_uploads"})
        return JSONResponse({"accepted": len(uploads)})

    async def tell_health(self, _request: Request) -> Response:
        """200 while this process serves; whether Temporal answers stands inside."""
        return JSONResponse({"status": "ok", "temporal": await self._intake.answers()})


async def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, and finish what is being answered.

    Args:
        settings: where to listen, for which cluster.
        on_ready: told the URL once it listens.

    Raises:
        ConfigurationError: there is no token, no cluster, or no such address.
        PortInUse: another program listens there.
    """
    token = settings.uploads.token.reveal()
    if not token:
        raise ConfigurationError(
            "uploads.token is not set; give the one that the object store shows with its notifications"
        )
    if not settings.is_cluster:
        raise ConfigurationError("temporal.address is not set; the gateway belongs to a cluster")
    intake = Intake(settings)
    api = UploadsApi(intake, token, settings.storage.audio_bucket)
    with _listening(settings.uploads.listen_address, settings.uploads.listen_port) as listener:
        config = uvicorn.Config(
            api.application, log_config=None, access_log=False, timeout_graceful_shutdown=_DRAIN_SECONDS
        )
        server = _Server(config)
        schedules = asyncio.create_task(intake.keep_schedules())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.end)
        host, port = listener.getsockname()[:2]
        on_ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        try:
            await server.serve(sockets=[listener])
        finally:
            schedules.cancel()
            await asyncio.gather(schedules, return_exceptions=True)


class _Server(uvicorn.Server):
    """Ends when it is told to, and leaves signals to its owner."""

    def end(self) -> None:
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listening(address: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"Port {port} is used by another program; set uploads.listen_port to another.") from error
        raise ConfigurationError(
            f"{address}:{port} cannot be listened at: {error.strerror}; mend uploads.listen_address"
        ) from error


async def _read(request: Request) -> bytes:
    """The body, if it is not too large. Raises _TooLarge."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _BODY_BYTES:
            raise _TooLarge(f"a notification has at most {_BODY_BYTES} bytes")
    return bytes(body)


def _refuse(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)
