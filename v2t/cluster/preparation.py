"""Making the servers of a cluster what v2t needs them to be; done again, it changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from v2t import wiring

if TYPE_CHECKING:
    from v2t.config import Settings
    from v2t.storage.minio_accounts import NewAccount

_TEMPORAL_DAYS = 30
"""How long Temporal remembers a job that has ended; the records and transcripts outlive it."""


async def prepare_cluster(
    settings: Settings, *, notify_target: str = "", accounts: Sequence[NewAccount] = ()
) -> tuple[str, ...]:
    """Make buckets, tables, namespace, search attributes and schedules.

    Args:
        settings: which servers; their accounts must be allowed to do this, as an administrator's are.
        notify_target: ARN of the webhook that the object store tells of uploads; empty: leave it as it is.
        accounts: what the object store's accounts are to be.

    Returns:
        What was changed in the object store, a line each.

    Raises:
        ConfigurationError: a server refuses, or the settings name no cluster.
        ConnectionFailed, StorageError: a server failed.
    """
    client = await wiring.connect_client(settings)
    changes = await asyncio.to_thread(_prepare_store, settings, notify_target, accounts)
    records = wiring.open_records(settings)
    try:
        await asyncio.to_thread(records.open)
    finally:
        records.close()
    await client.prepare_namespace(_TEMPORAL_DAYS)
    await wiring.make_schedules(settings, client)
    return changes


def _prepare_store(settings: Settings, notify_target: str, accounts: Sequence[NewAccount]) -> tuple[str, ...]:
    from v2t.storage.minio_accounts import prepare_accounts
    from v2t.storage.setup import prepare_storage

    administrator, buckets = wiring.store_account(settings), wiring.buckets(settings)
    changes = prepare_storage(administrator, buckets, encrypt=settings.storage.encrypt, notify_target=notify_target)
    return (*changes, *(prepare_accounts(administrator, buckets, accounts) if accounts else ()))
