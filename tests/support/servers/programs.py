"""Where the programs of the servers are."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from v2t.cluster.artifacts import Artifacts, default_folder, this_architecture
from v2t.cluster.lock import read_lock


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
    """Find PostgreSQL and Redis as the distribution installs them, and gather the others, which at first takes long."""
    artifacts = Artifacts(read_lock(), default_folder())
    architecture = this_architecture()

    def gather(name: str) -> Path:
        (found,) = artifacts.fetch(architecture, lambda step: print(f"servers: {step}", file=sys.stderr), name)
        return found.path

    return Programs(
        postgresql=_postgresql(),
        redis=_redis(),
        temporal=gather("temporal"),
        temporal_sql_tool=gather("temporal-sql-tool"),
        minio=gather("minio"),
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
