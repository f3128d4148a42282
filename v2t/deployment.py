"""Where jobs run: the cluster that the settings name, or else the embedded cluster of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from v2t import standalone, wiring
from v2t.domain.jobs import LOCAL
from v2t.standalone import Cluster

if TYPE_CHECKING:
    from v2t.config import Settings


@asynccontextmanager
async def open_cluster(
    settings: Settings, *, provider: str = LOCAL, model: str = "", work: bool = True, busy: bool = False
) -> AsyncIterator[Cluster]:
    """Connect to the cluster of the settings; without one, join or run the embedded cluster while the body lasts.

    Args:
        settings: which cluster.
        provider: whose engine an embedded cluster loads ahead.
        model: which model it loads ahead; empty: none.
        work: whether an embedded cluster does the jobs' work; without, it only answers questions about them.
        busy: whether many files are coming.

    Raises:
        StorageError: the folder of the embedded cluster cannot be used.
        ConfigurationError: something that the cluster needs is missing in the settings.
        ConnectionFailed: a server does not answer.
    """
    if not settings.is_cluster:
        async with standalone.open_cluster(settings, provider=provider, model=model, work=work, busy=busy) as cluster:
            yield cluster
        return
    client, records = await wiring.connect_client(settings), wiring.open_records(settings)
    try:
        yield Cluster(client, wiring.open_store(settings), records, owned=False, remote=True)
    finally:
        records.close()
