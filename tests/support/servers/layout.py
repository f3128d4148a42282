"""What is decided before anything starts: where the servers listen, and the secrets they are given."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
NAMESPACE = "v2t"
MINIO_NODES = 3
_TEMPORAL_PORTS = 8  # of each of the four services: one for calls, one for membership; the frontend's is the first
_BELOW_OUTGOING = range(20_000, 32_000)
"""Linux takes the ports of outgoing connections from 32768 on, so a killed server finds its own port free again."""


@dataclass(frozen=True)
class Layout:
    """Ports and secrets of one set of servers."""

    folder: Path
    postgresql_port: int
    redis_port: int
    temporal_ports: tuple[int, ...]
    minio_ports: tuple[int, ...]
    administrator_password: str
    temporal_password: str
    database_password: str
    redis_password: str
    access_key: str
    secret_key: str
    encryption_key: str
    """Of the object store: 32 bytes, in base64."""

    @property
    def temporal_address(self) -> str:
        return f"{HOST}:{self.temporal_ports[0]}"

    @property
    def minio_endpoints(self) -> tuple[str, ...]:
        return tuple(f"{HOST}:{port}" for port in self.minio_ports)

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.redis_password}@{HOST}:{self.redis_port}/0"

    def database_url(self, name: str = "v2t", *, driver: str = "+psycopg") -> str:
        return f"postgresql{driver}://v2t:{self.database_password}@{HOST}:{self.postgresql_port}/{name}"

    @property
    def administrator_url(self) -> str:
        return f"postgresql://postgres:{self.administrator_password}@{HOST}:{self.postgresql_port}/postgres"

    @property
    def environment(self) -> dict[str, str]:
        """What makes v2t use these servers."""
        return {
            "V2T_TEMPORAL__ADDRESS": self.temporal_address,
            "V2T_TEMPORAL__NAMESPACE": NAMESPACE,
            "V2T_STORAGE__ENDPOINT": self.minio_endpoints[0],
            "V2T_STORAGE__SECURE": "false",
            "V2T_STORAGE__ACCESS_KEY": self.access_key,
            "V2T_STORAGE__SECRET_KEY": self.secret_key,
            "V2T_DATABASE__URL": self.database_url(),
            "V2T_CACHE__REDIS_URL": self.redis_url,
        }


def make_layout(folder: Path) -> Layout:
    """The layout that `folder` was made with, or a new one."""
    file = folder / "layout.json"
    if file.exists():
        return read_layout(folder)
    ports = iter(_free_ports(2 + _TEMPORAL_PORTS + MINIO_NODES))
    layout = Layout(
        folder=folder,
        postgresql_port=next(ports),
        redis_port=next(ports),
        temporal_ports=tuple(next(ports) for _ in range(_TEMPORAL_PORTS)),
        minio_ports=tuple(next(ports) for _ in range(MINIO_NODES)),
        administrator_password=secrets.token_hex(),
        temporal_password=secrets.token_hex(),
        database_password=secrets.token_hex(),
        redis_password=secrets.token_hex(),
        access_key=secrets.token_hex(10),
        secret_key=secrets.token_hex(20),
        encryption_key=_base64_key(),
    )
    write_secret(file, json.dumps(dataclasses.asdict(layout), default=str, indent=1))
    return layout


def read_layout(folder: Path) -> Layout:
    values = json.loads((folder / "layout.json").read_text())
    for name in ("temporal_ports", "minio_ports"):
        values[name] = tuple(values[name])
    return Layout(**{**values, "folder": folder})


def write_secret(file: Path, text: str) -> None:
    """Write a file that nobody else may read, all of it or nothing."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)
    draft.replace(file)


def _base64_key() -> str:
    import base64

    return base64.b64encode(secrets.token_bytes(32)).decode()


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held until the last is found, so they differ."""
    held: list[socket.socket] = []
    try:
        for port in random.SystemRandom().sample(_BELOW_OUTGOING, len(_BELOW_OUTGOING)):
            candidate = socket.socket()
            try:
                candidate.bind((HOST, port))
            except OSError:
                candidate.close()
                continue
            held.append(candidate)
            if len(held) == count:
                break
        return [candidate.getsockname()[1] for candidate in held]
    finally:
        for candidate in held:
            candidate.close()
