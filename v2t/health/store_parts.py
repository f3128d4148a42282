"""Looks at a cluster's object store: plain calls that block, with timeouts of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from v2t.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    StorageError,
    StoreUnreachable,
)
from v2t.health.report import Part, broken, fine, reason_of, weak

if TYPE_CHECKING:
    from minio import Minio

    from v2t.config import Settings

_STORE = "object store"

_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_GIGABYTE = 1024**3
_SCARCE = 0.10
"""A store with less than this share of its space free is soon full."""


@dataclass(frozen=True, slots=True)
class _Nodes:
    """What the store says of itself to accounts that may ask."""

    online: int = 0
    offline: tuple[str, ...] = ()
    drives_offline: int = 0
    free_bytes: int = 0
    total_bytes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def look_at_store(settings: Settings, seconds: float) -> Sequence[Part]:
    """Reachable, its buckets there, a quorum to write, its nodes and space where the account may see them."""
    import urllib3
    from minio import Minio
    from minio.error import MinioException, S3Error

    storage = settings.storage
    if not storage.endpoint:
        error = ConfigurationError()
        return [broken(_STORE, error, "storage.endpoint is not set", "set it in v2t.toml", required=True)]
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=seconds / 2, read=seconds / 2),
        retries=False,
        ca_certs=storage.ca_file or None,
    )
    client = Minio(
        storage.endpoint,
        storage.access_key,
        storage.secret_key.reveal(),
        secure=storage.secure,
        region=storage.region,
        http_client=pool,
    )
    try:
        return [_judge_store(settings, client, pool)]
    except S3Error as error:
        return [_refused(settings, error.code or "", error.message or "")]
    except (urllib3.exceptions.HTTPError, MinioException, OSError) as error:
        step = "start it, or mend storage.endpoint, storage.secure or storage.ca_file"
        summary = f"{storage.endpoint} does not answer ({reason_of(error)})"
        return [broken(_STORE, StoreUnreachable, summary, step, required=True)]


def _judge_store(settings: Settings, client: Minio, pool: Any) -> Part:
    storage = settings.storage
    quorum, writable = _quorum(settings, pool)
    if not writable:
        summary = f"{storage.endpoint} has no quorum to write" + (f" ({quorum} drives)" if quorum else "")
        step = "start the nodes that are down; jobs wait meanwhile"
        return broken(_STORE, StorageError, summary, step, required=True, write_quorum=quorum)
    buckets = (storage.audio_bucket, storage.transcripts_bucket, storage.models_bucket, storage.archive_bucket)
    missing = [bucket for bucket in buckets if not client.bucket_exists(bucket)]
    nodes = _nodes(settings, pool)
    facts: dict[str, Any] = {"write_quorum": quorum, "missing_buckets": missing, **nodes.facts}
    if {storage.audio_bucket, storage.transcripts_bucket} & set(missing):
        step = "`v2t cluster prepare` makes them"
        summary = f"{storage.endpoint} has no bucket {', '.join(missing)}"
        return broken(_STORE, ConfigurationError, summary, step, required=True, **facts)
    summary = ", ".join([storage.endpoint, *_describe(nodes, quorum)])
    if nodes.offline or nodes.drives_offline:
        who = ", ".join(nodes.offline) or f"{nodes.drives_offline} drives"
        step = f"start {who}; one loss more may stop the store"
        return weak(_STORE, f"{summary}, {who} offline", step, required=True, **facts)
    if nodes.total_bytes and nodes.free_bytes < _SCARCE * nodes.total_bytes:
        return weak(_STORE, f"{summary}: nearly full", "add drives, or set retention.*", required=True, **facts)
    if missing:
        step = "`v2t cluster prepare` makes it"
        return weak(_STORE, f"{summary}, no bucket {', '.join(missing)}", step, required=True, **facts)
    return fine(_STORE, summary, required=True, **facts)


def _describe(nodes: _Nodes, quorum: int) -> list[str]:
    words = []
    if nodes.online:
        words.append(f"{nodes.online} of {nodes.online + len(nodes.offline)} nodes")
    if quorum:
        words.append(f"write quorum {quorum}")
    if nodes.total_bytes:
        words.append(f"{nodes.free_bytes / _GIGABYTE:.0f} of {nodes.total_bytes / _GIGABYTE:.0f} GB free")
    return words


def _quorum(settings: Settings, pool: Any) -> tuple[int, bool]:
    """Drives needed to write, 0 where the store does not say, and whether there are as many."""
    scheme = "https" if settings.storage.secure else "http"
    answer = pool.request("GET", f"{scheme}://{settings.storage.endpoint}/minio/health/cluster")
    quorum = str(answer.headers.get("X-Minio-Write-Quorum", ""))
    return (int(quorum) if quorum.isdigit() else 0), answer.status != 503


def _nodes(settings: Settings, pool: Any) -> _Nodes:
    """Nodes and space; nothing from a store, or for an account, that does not tell."""
    import urllib3
    from minio import MinioAdmin
    from minio.credentials.providers import StaticProvider
    from minio.error import MinioAdminException, MinioException

    storage = settings.storage
    account = StaticProvider(storage.access_key, storage.secret_key.reveal())
    admin = MinioAdmin(
        endpoint=storage.endpoint,
        credentials=account,
        region=storage.region,
        secure=storage.secure,
        http_client=pool,
    )
    try:
        return _read_nodes(json.loads(admin.info()))
    except (urllib3.exceptions.HTTPError, MinioAdminException, MinioException, OSError, ValueError):
        return _Nodes()


def _read_nodes(document: dict[str, Any]) -> _Nodes:
    servers = document.get("servers") or []
    drives = [drive for server in servers for drive in server.get("drives") or []]
    online = [server for server in servers if server.get("state") == "online"]
    offline = tuple(str(server.get("endpoint", "?")) for server in servers if server.get("state") != "online")
    sound = [drive for drive in drives if drive.get("state") == "ok"]
    free, total = (sum(int(drive.get(name, 0)) for drive in sound) for name in ("availspace", "totalspace"))
    version = str(online[0].get("version", "")) if online else ""
    facts = {
        "version": version,
        "nodes_online": len(online),
        "nodes_offline": list(offline),
        "free_bytes": free,
        "total_bytes": total,
    }
    return _Nodes(len(online), offline, len(drives) - len(sound), free, total, facts)


def _refused(settings: Settings, code: str, message: str) -> Part:
    endpoint = settings.storage.endpoint
    if code in _REFUSED:
        summary = f"{endpoint} refuses the account {settings.storage.access_key!r} ({code})"
        step = "check storage.access_key and storage.secret_key"
        return broken(_STORE, CredentialsRefused, summary, step, required=True)
    return broken(_STORE, StorageError, f"{endpoint} answers {code}: {message}", "see its log", required=True)
