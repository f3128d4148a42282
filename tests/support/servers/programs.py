"""Where the programs of the servers are."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Programs:
    """Paths of what the servers are started with."""

    postgresql: Path
    """The folder of PostgreSQL's programs."""
    redis: Path
    temporal: Path
    temporal_sql_tool: Path
    minio: Path


def find_programs() -> Programs:
    """Find PostgreSQL and Redis as the distribution installs them, and gather the others."""
    gathered = Path("/tmp/gobuild")
    return Programs(
        postgresql=_postgresql(),
        redis=_redis(),
        temporal=gathered / "temporal/server",
        temporal_sql_tool=gathered / "sql/sql",
        minio=gathered / "minio/minio",
    )


def _postgresql() -> Path:
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not versions:
        raise FileNotFoundError("PostgreSQL is not installed; run tests/support/servers/install.sh as root")
    return versions[-1].parent


def _redis() -> Path:
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    raise FileNotFoundError("Redis is not installed; run tests/support/servers/install.sh as root")
