"""MinIO: three nodes with one drive each, so that any one of them may be lost."""

from __future__ import annotations

import json
import socket

from support.servers.layout import HOST, Layout
from support.servers.programs import Programs


def server_command(layout: Layout, programs: Programs, node: int) -> list[str]:
    drives = [
        f"http://{endpoint}{layout.folder}/minio-{number}" for number, endpoint in enumerate(layout.minio_endpoints, 1)
    ]
    return [str(programs.minio), "server", "--quiet", f"--address={HOST}:{layout.minio_ports[node - 1]}", *drives]


def environment(layout: Layout, node: int) -> dict[str, str]:
    return {
        # in a container it waits for addresses that are not loopback's, unless told which of them is its own
        "_MINIO_SERVER_LOCAL": layout.minio_endpoints[node - 1],
        "MINIO_ROOT_USER": layout.access_key,
        "MINIO_ROOT_PASSWORD": layout.secret_key,
        "MINIO_KMS_SECRET_KEY": f"v2t:{layout.encryption_key}",
        "MINIO_CI_CD": "1",  # else it refuses drives that are on the root disk
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_CALLHOME_ENABLE": "off",
    }


def prepare(layout: Layout) -> None:
    """Make the drives."""
    for number in range(1, len(layout.minio_ports) + 1):
        (layout.folder / f"minio-{number}").mkdir(exist_ok=True)


def is_ready(layout: Layout, node: int) -> bool:
    """Whether the node lets users in and all nodes that run have reported their drives to it.

    Its own connections to those drives may follow some seconds later, and nothing it answers shows them.
    """
    import urllib3
    from minio import MinioAdmin
    from minio.credentials.providers import StaticProvider
    from minio.error import MinioException

    once = urllib3.PoolManager(timeout=2, retries=False)
    credentials = StaticProvider(layout.access_key, layout.secret_key)
    client = MinioAdmin(
        endpoint=layout.minio_endpoints[node - 1], credentials=credentials, secure=False, http_client=once
    )
    try:
        backend = json.loads(client.info())["backend"]
    except (urllib3.exceptions.HTTPError, MinioException, KeyError):
        return False
    running = sum(_is_listening(port) for port in layout.minio_ports)
    return int(backend.get("onlineDisks", 0)) >= max(running, len(layout.minio_ports) // 2 + 1)


def _is_listening(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((HOST, port)) == 0
