"""The real servers of a cluster, on loopback, in a folder, for tests and for `make servers`.

A keeper process (`keeper.py`) owns them; whoever wants to use, kill or restart one does so through `control.py`.
"""

from __future__ import annotations

from support.servers.control import Server, Servers, running_servers

__all__ = ["Server", "Servers", "running_servers"]
