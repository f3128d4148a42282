"""Temporal's development server, which the embedded cluster runs: where it is, and how it is started."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

from v2t.domain.errors import PortInUse, ServerNotInstalled
from v2t.domain.search import SEARCH_ATTRIBUTES
from v2t.process.ports import LOOPBACK

_LITTLE_GARBAGE, _GOS_OWN_GARBAGE = "30", "100"

_DYNAMIC_SETTINGS = (
    "matching.enableFairness=true",
    # Each part of a queue has an order of its own: with one part, users take turns and priorities hold exactly.
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    # All attributes are there before it starts. Development servers read them anew from the database at every step
    # of every workflow otherwise, which takes a third of the time that they have for workflows.
    "system.forceSearchAttributesCacheRefreshOnRead=false",
)


def find_program() -> str | None:
    """The Temporal development server on this machine, or None."""
    path = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent)))
    return shutil.which("temporal", path=path)


def server_environment(*, busy: bool) -> dict[str, str]:
    """Its variables.

    Args:
        busy: many files are coming. It handles more of them a second when it may let garbage lie, which takes
            up to 90 MB; with a single file it mostly waits.
    """
    return {
        "GOGC": _GOS_OWN_GARBAGE if busy else _LITTLE_GARBAGE,
        "TEMPORAL_VERSION_CHECK_DISABLED": "1",  # v2t connects to nobody it was not told to
    }


def server_command(namespace: str, database: Path, port: int, ui_port: int) -> list[str]:
    """How to start it on loopback, with its database in a file; `ui_port` 0: without a web interface.

    Raises:
        ServerNotInstalled: there is no such program.
    """
    program = find_program()
    if program is None:
        raise ServerNotInstalled
    return [
        *(program, "server", "start-dev", "--ip", LOOPBACK, "--port", str(port)),
        *(("--ui-port", str(ui_port)) if ui_port else ("--headless",)),
        *("--namespace", namespace),
        *(word for name, kind in SEARCH_ATTRIBUTES.items() for word in ("--search-attribute", f"{name}={kind}")),
        *(word for setting in _DYNAMIC_SETTINGS for word in ("--dynamic-config-value", setting)),
        *("--db-filename", str(database)),
        # In WAL with NORMAL a power cut may lose the last moments, never the database, and it is
        # several times as fast as the default.
        *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
        *("--log-level", "error"),
    ]


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
