"""Ports of loopback for the servers that v2t starts."""

from __future__ import annotations

import socket

from v2t.domain.errors import PortInUse

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def refuse_taken_port(port: int) -> None:
    """Raises PortInUse where another program uses it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortInUse(
                f"Port {port} is used by another program; set V2T_STANDALONE__PORT to another one, or 0 for any."
            ) from error
