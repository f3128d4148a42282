"""The notify protocol of systemd: a datagram to the socket that it names (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

_PATIENCE_SECONDS = 0.5
"""The socket's queue is short; systemd empties it at once."""


class Notifier:
    """Tells systemd how the service is; says nothing where nobody asked.

    Args:
        environment: where systemd has put NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        found = dict(os.environ) if environment is None else environment
        address = found.get("NOTIFY_SOCKET", "")
        # an abstract name is written with @ and meant with a zero byte
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = _watchdog_seconds(found) if address else 0.0
        """How often it must hear from the service; 0: it does not mind."""

    def ready(self, status: str) -> None:
        """The service has started."""
        self._send("READY=1", status)

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send("", status)

    def stopping(self, status: str) -> None:
        """The service ends."""
        self._send("STOPPING=1", status)

    def alive(self) -> None:
        """The service is not stuck."""
        self._send("WATCHDOG=1", "")

    def _send(self, state: str, status: str) -> None:
        if not self._address:
            return
        line = f"STATUS={' '.join(status.split())}" if status else ""
        message = "\n".join(part for part in (state, line) if part)
        # systemd that is gone must not end the work
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_PATIENCE_SECONDS)
            sender.sendto(message.encode(), self._address)


def _watchdog_seconds(environment: dict[str, str]) -> float:
    meant = environment.get("WATCHDOG_PID", "")
    if meant and meant != str(os.getpid()):
        return 0.0
    with suppress(ValueError):
        return max(0.0, int(environment.get("WATCHDOG_USEC", "0")) / 1_000_000)
    return 0.0
