"""The way to a MinIO or another store that speaks S3: who asks, how long it is waited for, what its refusals mean."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from urllib3 import PoolManager
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError, SSLError
from urllib3.util import Retry, Timeout

from v2t.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    ObjectMissing,
    StorageError,
    StorageFull,
    StoreUnreachable,
    V2TError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from minio import Minio, MinioAdmin
    from minio.error import MinioException, S3Error
    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool

_CONNECT_SECONDS = 3.0
_READ_SECONDS = 30.0
"""The longest silence of a server that works; it answers a part only when the part is on its disks."""
_PATIENCE_SECONDS = 6.0
"""How long a server that takes no connection is tried again: as long as a restart takes."""
_CONNECTIONS = 32

_NO_CONNECTION = (ConnectTimeoutError, NewConnectionError, SSLError)
_TLS_REFUSED = frozenset({"CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "HTTP_REQUEST"})
_UNAVAILABLE = (500, 502, 503, 504)

_Meaning = tuple[frozenset[str], type[V2TError], str]
_MEANINGS: tuple[_Meaning, ...] = (
    (
        frozenset({"NoSuchKey", "NoSuchVersion", "PreconditionFailed"}),
        ObjectMissing,
        "{what} is gone from the object store; run the command again on the original file",
    ),
    (
        frozenset({"NoSuchBucket"}),
        ConfigurationError,
        (
            "the object store at {endpoint} has no bucket for {what}; "
            "have its administrator set up the storage, or correct the bucket names under [storage]"
        ),
    ),
    (
        frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}),
        CredentialsRefused,
        (
            "the object store at {endpoint} refuses {what} to the account {account!r} ({code}); "
            "check storage.access_key, storage.secret_key and the account's policy"
        ),
    ),
    (
        frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}),
        StorageFull,
        "no space is left in the object store at {endpoint} for {what}; free some and run the command again",
    ),
    (
        frozenset({"SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "XMinioServerNotInitialized"}),
        StoreUnreachable,
        "the object store at {endpoint} is not ready ({code}); see that enough of its nodes run",
    ),
    (
        frozenset({"RequestTimeTooSkewed"}),
        ConfigurationError,
        "the clocks of this machine and of the object store at {endpoint} differ by minutes; set them",
    ),
)
"""Codes of S3 and MinIO, and what they are to v2t."""


@dataclass(frozen=True, slots=True)
class StoreAccount:
    """Where the store is and who asks."""

    endpoint: str  # host and port
    access_key: str
    secret_key: str = field(repr=False)
    secure: bool = True
    ca_file: str = ""  # empty: the system's authorities
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class Buckets:
    """What the buckets are called, and which of them a key belongs to."""

    audio: str = "v2t-audio"
    transcripts: str = "v2t-transcripts"
    models: str = "v2t-models"
    archive: str = "v2t-archive"

    @property
    def by_first_part(self) -> dict[str, str]:
        """First part of a key → bucket; keys that begin otherwise are in the bucket of transcripts."""
        return {"archive": self.archive, "audio": self.audio, "incoming": self.audio, "models": self.models}

    @property
    def all(self) -> tuple[str, ...]:
        """Each bucket once."""
        return tuple(dict.fromkeys((self.audio, self.transcripts, self.models, self.archive)))

    def of(self, key: str) -> str:
        """The bucket of a key."""
        return self.by_first_part.get(key.partition("/")[0], self.transcripts)

    def that_may_hold(self, prefix: str) -> tuple[str, ...]:
        """The buckets of all keys that begin with `prefix`."""
        if "/" in prefix:
            return (self.of(prefix),)
        first_parts = (name for part, name in self.by_first_part.items() if part.startswith(prefix))
        return tuple(dict.fromkeys((*first_parts, self.transcripts)))


class _Patience(Retry):
    """Tries again, but a server that takes no connection only for `_PATIENCE_SECONDS`.

    A count alone cannot do it: a refused connection fails at once and a lost one after seconds.
    """

    _first_failure = 0.0

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """What may still be tried after this failure. Raises MaxRetryError when that is nothing."""
        now = time.monotonic()
        began = self._first_failure or now
        waited = isinstance(error, _NO_CONNECTION) and now - began >= _PATIENCE_SECONDS
        left = self.new(total=0) if waited or _is_hopeless(error) else self
        following = super(_Patience, left).increment(method, url, response, error, _pool, _stacktrace)
        following._first_failure = began  # noqa: SLF001 - its own
        return following


def _is_hopeless(error: Exception | None) -> bool:
    """Whether it is a failure of TLS that time does not mend, as an end of the connection in between may be."""
    cause = error.args[0] if isinstance(error, SSLError) and error.args else None
    return getattr(cause, "reason", "") in _TLS_REFUSED


def open_client(account: StoreAccount) -> Minio:
    """A client that may be used from many threads; it connects when it is used."""
    from minio import Minio

    return Minio(
        account.endpoint,
        account.access_key,
        account.secret_key,
        secure=account.secure,
        region=account.region,  # or it is asked for before each first use of a bucket
        http_client=_connections(account),
    )


def open_admin(account: StoreAccount) -> MinioAdmin:
    """A client of MinIO's administration; the account must be an administrator's."""
    from minio import MinioAdmin
    from minio.credentials.providers import StaticProvider

    return MinioAdmin(
        endpoint=account.endpoint,
        credentials=StaticProvider(account.access_key, account.secret_key),
        region=account.region,
        secure=account.secure,
        http_client=_connections(account),
    )


def _connections(account: StoreAccount) -> PoolManager:
    return PoolManager(
        maxsize=_CONNECTIONS,
        timeout=Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        cert_reqs="CERT_REQUIRED",
        ca_certs=account.ca_file or None,
        retries=_Patience(
            total=8,
            connect=6,
            read=2,
            status=6,
            redirect=0,
            backoff_factor=0.2,
            backoff_max=3.0,
            status_forcelist=_UNAVAILABLE,
            respect_retry_after_header=False,  # MinIO asks for a minute while it starts, which takes seconds
            allowed_methods=None,  # all: whoever uses this client sees to it that nothing is harmed by a repetition
            raise_on_status=False,  # the last answer says why
        ),
    )


@contextmanager
def named_errors(account: StoreAccount, what: str) -> Iterator[None]:
    """Raise what the client raises as errors of v2t; `what` is the key or bucket that was asked for."""
    from minio.error import MinioException

    try:
        yield
    except HTTPError as error:
        raise _unreachable(error, account) from error
    except MinioException as error:
        raise _named(error, account, what) from error


def error_code(error: S3Error) -> str:
    """What the store calls an error; the answer to HEAD has no body, and MinIO says it in a header."""
    return error.response.headers.get("x-minio-error-code") or error.code or ""


def _unreachable(error: HTTPError, account: StoreAccount) -> V2TError:
    reason = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, SSLError):
        return ConfigurationError(
            f"no trusted TLS connection to the object store at {account.endpoint}: {reason}; "
            "check storage.secure and storage.ca_file"
        )
    return StoreUnreachable(
        f"the object store at {account.endpoint} does not answer; check storage.endpoint and that it runs"
    )


def _named(error: MinioException, account: StoreAccount, what: str) -> V2TError:
    from minio.error import InvalidResponseError, S3Error, ServerError

    if isinstance(error, S3Error):
        return _of_code(error_code(error), str(error.message), account, what)
    if isinstance(error, ServerError):
        return StoreUnreachable(f"the object store at {account.endpoint} fails with HTTP status {error.status_code}")
    if isinstance(error, InvalidResponseError) and error._code >= min(_UNAVAILABLE):  # noqa: SLF001 - no public name
        return StoreUnreachable(f"the object store at {account.endpoint} fails with HTTP status {error._code}")  # noqa: SLF001
    return ConfigurationError(
        f"what answers at {account.endpoint} is no S3 object store; check storage.endpoint and storage.secure"
    )


def _of_code(code: str, message: str, account: StoreAccount, what: str) -> V2TError:
    for codes, kind, text in _MEANINGS:
        if code in codes:
            return kind(text.format(what=what, code=code, endpoint=account.endpoint, account=account.access_key))
    return StorageError(f"the object store at {account.endpoint} failed at {what}: {message} ({code})")
