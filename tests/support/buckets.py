"""Stores in buckets of their own on the MinIO of the test servers."""

from __future__ import annotations

import uuid
from pathlib import Path

from support.servers import Servers
from v2t.storage.minio import MinioObjectStore
from v2t.storage.minio_client import Buckets, StoreAccount
from v2t.storage.setup import prepare_storage

PART_BYTES = 5 << 20
"""The smallest part that S3 allows."""


def administrator(servers: Servers, node: int = 0) -> StoreAccount:
    layout = servers.layout
    return StoreAccount(layout.minio_endpoints[node], layout.access_key, layout.secret_key, secure=False)


def new_buckets(servers: Servers) -> Buckets:
    """Buckets nobody else uses, set up as a cluster's are."""
    name = uuid.uuid4().hex[:12]
    buckets = Buckets(*(f"{name}-{purpose}" for purpose in ("audio", "transcripts", "models", "archive")))
    prepare_storage(administrator(servers), buckets)
    return buckets


def new_store(servers: Servers, scratch: Path) -> MinioObjectStore:
    return MinioObjectStore(administrator(servers), new_buckets(servers), scratch, PART_BYTES)
