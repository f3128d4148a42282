"""From uploads to workflows: one connection to Temporal, made when it is there, and again when it was gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from v2t import wiring
from v2t.domain.batches import UploadRef
from v2t.domain.errors import ClusterUnreachable, V2TError

if TYPE_CHECKING:
    from v2t.client import Client
    from v2t.config import Settings

_log = logging.getLogger(__name__)

_ACCEPT_SECONDS = 5.0
"""What Temporal has not accepted within this time is given back to the store, which sends it again."""

_AGAIN_SECONDS = 5.0


class Intake:
    """Takes in uploads.

    Args:
        settings: which cluster, and how dropped files are transcribed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._options = wiring.upload_options(settings)
        self._tags = settings.uploads.tags
        self._client: Client | None = None
        self._lock = asyncio.Lock()

    async def take(self, uploads: Sequence[UploadRef]) -> None:
        """See that each upload becomes a job; returns when Temporal has accepted all.

        Raises:
            ClusterUnreachable: it has not; the same uploads may be given again, they do no harm twice.
        """
        from v2t.client.batches import take_upload

        try:
            async with asyncio.timeout(_ACCEPT_SECONDS):
                client = await self._connected()
                await asyncio.gather(
                    *(take_upload(client, upload, self._options, tags=self._tags) for upload in uploads)
                )
        except TimeoutError as error:
            raise ClusterUnreachable from error

    async def answers(self) -> bool:
        """Whether Temporal answers now."""
        with suppress(V2TError, TimeoutError):
            async with asyncio.timeout(_ACCEPT_SECONDS):
                await (await self._connected()).ping()
                return True
        return False

    async def keep_schedules(self) -> None:
        """Make the cluster's schedules, as soon as Temporal lets us."""
        while True:
            try:
                await wiring.make_schedules(self._settings, await self._connected())
            except V2TError as error:
                _log.warning("no schedules yet: %s", error.message, extra={"action": "ensure_schedules"})
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    async def _connected(self) -> Client:
        async with self._lock:
            if self._client is None:
                self._client = await wiring.connect_client(self._settings)
            return self._client
