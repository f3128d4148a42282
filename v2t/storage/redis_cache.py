"""Small objects in a Redis that all machines of a cluster share.

Redis only makes things faster: while it is gone, slow or refuses the password, every read is a miss and every write
does nothing, after a wait of a fraction of a second once in a while.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from v2t.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger(__name__)

_PREFIX = "v2t:object:"
_SCHEMES = ("redis", "rediss", "unix")
_DIGEST_BYTES = 32
_DELETE_AT_ONCE = 1000

_Answer = TypeVar("_Answer")


class RedisCache:
    """A cache in Redis; it may be used from many threads.

    Args:
        url: of the server, with its password; never shown.
        object_bytes: the largest object that is kept.
        ttl_seconds: how long it is kept.
        timeout_seconds: how long one answer is waited for.
        pause_seconds: how long a server that failed is left alone.

    Raises:
        ConfigurationError: the URL is not one of Redis.
    """

    def __init__(
        self,
        url: str,
        *,
        object_bytes: int,
        ttl_seconds: int,
        timeout_seconds: float = 0.2,
        pause_seconds: float = 5.0,
    ) -> None:
        _check(url)
        self._url = url
        self.object_bytes = object_bytes
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds
        self._pause_seconds = pause_seconds
        self._opening = threading.Lock()
        self._redis: Redis | None = None
        self._left_alone_until = 0.0
        self._failed = False

    @property
    def answers(self) -> bool:
        """Whether it is worth asking: false for some seconds after a failure."""
        return time.monotonic() >= self._left_alone_until

    def get(self, key: str) -> tuple[bytes, str] | None:
        """An object and its etag, or None. What is not whole, or belongs to another key, is no object."""
        packed = self.ask(lambda redis: redis.get(_PREFIX + key))
        return unpack(key, packed) if isinstance(packed, bytes) else None

    def put(self, key: str, data: bytes, etag: str = "") -> None:
        """Keep an object, if it is small enough."""
        if len(data) <= self.object_bytes:
            packed = pack(key, data, etag)
            self.ask(lambda redis: redis.set(_PREFIX + key, packed, ex=self._ttl_seconds))

    def discard(self, keys: Sequence[str]) -> None:
        """Forget objects."""
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            names = [_PREFIX + key for key in keys[start : start + _DELETE_AT_ONCE]]
            self.ask(lambda redis, names=names: redis.unlink(*names))  # type: ignore[misc]  # a loop's lambda

    def close(self) -> None:
        """End its connections."""
        with self._opening:
            if self._redis:
                self._redis.close()
                self._redis = None

    def ask(self, question: Callable[[Redis], _Answer]) -> _Answer | None:
        """What Redis answers to anything; None while it cannot be asked."""
        if not self.answers:
            return None
        try:
            from redis import RedisError
        except ImportError as error:  # the extra `worker` brings it
            self._leave_alone(error)
            return None
        try:
            answer = question(self._client())
        except (RedisError, OSError) as error:
            self._leave_alone(error)
            return None
        if self._failed:
            self._failed = False
            logger.info("Redis answers again", extra={"action": "redis_back"})
        return answer

    def _leave_alone(self, error: Exception) -> None:
        self._left_alone_until = time.monotonic() + self._pause_seconds
        if not self._failed:
            self._failed = True
            # The kind of error only: its message may hold what stands in the URL.
            logger.warning(
                "Redis is not used for now (%s): reads go to the object store; `v2t health` shows whether it answers",
                type(error).__name__,
                extra={"action": "redis_gone"},
            )

    def _client(self) -> Redis:
        with self._opening:
            if self._redis is None:
                from redis import Redis
                from redis.backoff import NoBackoff
                from redis.retry import Retry

                self._redis = Redis.from_url(
                    self._url,
                    socket_timeout=self._timeout_seconds,
                    socket_connect_timeout=self._timeout_seconds,
                    retry=Retry(NoBackoff(), 0),
                )
            return self._redis


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError("cache.redis_url is not a URL such as redis://:password@host:6379/0; check it")


def pack(key: str, data: bytes, etag: str) -> bytes:
    """An object as it stands in Redis: digest, length of the etag, etag, content; the digest covers the key too."""
    name = etag.encode()
    body = len(name).to_bytes(2, "big") + name + data
    return _digest(key, body) + body


def unpack(key: str, packed: bytes) -> tuple[bytes, str] | None:
    """Content and etag, or None where it is not a whole object of this key."""
    digest, body = packed[:_DIGEST_BYTES], packed[_DIGEST_BYTES:]
    if len(body) < 2 or digest != _digest(key, body):
        return None
    end = 2 + int.from_bytes(body[:2], "big")
    return body[end:], body[2:end].decode()


def _digest(key: str, body: bytes) -> bytes:
    return hashlib.sha256(len(key).to_bytes(4, "big") + key.encode() + body).digest()
