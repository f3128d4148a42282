"""What is known of the providers' failures: in this process, and through Redis in all of a cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from v2t.domain.breaker import Breaker, from_document

if TYPE_CHECKING:
    from redis.client import Pipeline

    from v2t.storage.redis_cache import RedisCache

Change = Callable[[Breaker], tuple[Breaker, bool]]

_PREFIX = "v2t:breaker:"
_KEPT_SECONDS = 3600
"""Redis forgets a provider that nobody has called for so long."""


class SharedBreakers:
    """See the port Breakers; while Redis does not answer, this process goes by what it knows itself.

    Args:
        redis: None: there is no other machine.
    """

    def __init__(self, redis: RedisCache | None = None) -> None:
        self._redis = redis
        self._lock = threading.Lock()
        self._known: dict[str, Breaker] = {}

    def read(self, provider: str) -> Breaker:
        """See Breakers."""
        shared = self._redis.ask(lambda redis: _unpack(redis.get(_PREFIX + provider))) if self._redis else None
        return shared or self._known.get(provider, Breaker())

    def change(self, provider: str, change: Change) -> bool:
        """See Breakers."""
        shared = self._redis.ask(lambda redis: _change(redis, _PREFIX + provider, change)) if self._redis else None
        with self._lock:
            after, answer = shared or change(self._known.get(provider, Breaker()))
            self._known[provider] = after
        return answer


def _change(redis: Any, key: str, change: Change) -> tuple[Breaker, bool]:
    """In one transaction, again where another machine was faster."""

    def within(pipeline: Pipeline) -> tuple[Breaker, bool]:
        after, answer = change(_unpack(pipeline.get(key)) or Breaker())
        pipeline.multi()
        pipeline.set(key, json.dumps(asdict(after)), ex=_KEPT_SECONDS)
        return after, answer

    made: tuple[Breaker, bool] = redis.transaction(within, key, value_from_callable=True)
    return made


def _unpack(data: object) -> Breaker | None:
    """None where there is none, or one of another version."""
    try:
        return from_document(json.loads(data))  # type: ignore[arg-type]  # what is no text is no breaker
    except (TypeError, ValueError, KeyError):
        return None
