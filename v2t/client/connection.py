"""The connection to a cluster's Temporal: how it is opened, what its failures mean, how long to bear them."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from temporalio.client import Client as TemporalClient
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode, TLSConfig

from v2t.client.failures import BriefFailures
from v2t.domain.errors import (
    ClusterUnreachable,
    ConfigurationError,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobTerminated,
    StorageFull,
    V2TError,
    from_wire,
)

Answer = TypeVar("Answer")

_CONNECT_SECONDS = 10.0
_PATIENCE_SECONDS = 10.0
_RETRY_SECONDS = 0.3
"""A crashed server is back within a second; whoever follows a job gives it some more."""

_DATABASE_FULL = "database or disk is full"  # SQLite's words for SQLITE_FULL, which the server passes on

_TLS_WORDS = ("certificate", "tls", "handshake", "unknownissuer", "notvalidforname", "invalidcontenttype")
"""How the SDK's TLS library speaks of its failures, in lower case."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a TLS connection needs, as files; an empty path leaves its part out.

    Without `ca` the certificate authorities of the system are trusted. With `certificate` and `key`
    the client shows who it is, as mutual TLS wants.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = ""  # in the server's certificate, where it is not the host of the address


_CONVERTER = replace(DataConverter.default, failure_converter_class=BriefFailures)


async def open_temporal(
    address: str, namespace: str, tls: TlsFiles | None, metrics_address: str = ""
) -> TemporalClient:
    """Connect to the server at `address` (host:port), by TLS where its files are given.

    Args:
        address: the server.
        namespace: of the jobs.
        tls: None: connect in clear.
        metrics_address: where the SDK shows its own metrics to Prometheus (host:port); empty: nowhere.

    Raises:
        ConfigurationError: a file of `tls` cannot be read, or certificate and key do not belong together.
        ClusterUnreachable: nobody answers there, or TLS is refused by one side.
    """
    config = await asyncio.to_thread(_read_tls, tls) if tls else False
    try:
        return await TemporalClient.connect(
            address,
            namespace=namespace,
            tls=config,
            runtime=_runtime(metrics_address),
            connect_timeout=timedelta(seconds=_CONNECT_SECONDS),
            data_converter=_CONVERTER,
            # References travel, a few hundred bytes at a time: to compress them takes both sides more than it saves.
            grpc_compression=GrpcCompression.NONE,
        )
    except RuntimeError as error:
        raise _refused(address, str(error), tls) from error


def _refused(address: str, reason: str, tls: TlsFiles | None) -> V2TError:
    if tls and any(word in reason.lower() for word in _TLS_WORDS):
        return ClusterUnreachable(
            f"Temporal at {address} and this machine do not agree on TLS; check temporal.ca_file, "
            f"certificate_file, key_file and server_name: {_last_words(reason)}"
        )
    return ClusterUnreachable(
        f"Temporal does not answer at {address}; is the cluster up? (`v2t up` starts the embedded one)"
    )


def _read_tls(tls: TlsFiles) -> TLSConfig:
    if bool(tls.certificate) != bool(tls.key):
        raise ConfigurationError("temporal.certificate_file and temporal.key_file need each other; set both.")
    return TLSConfig(
        server_root_ca_cert=_read(tls.ca),
        domain=tls.server_name or None,
        client_cert=_read(tls.certificate),
        client_private_key=_read(tls.key),
    )


def _read(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}; TLS to Temporal needs it.") from error


def _last_words(reason: str) -> str:
    return " ".join(reason.split())[-200:]


@functools.cache
def _runtime(metrics_address: str = "") -> Runtime:
    """The SDK's native part, its log forwarded: by itself it would write to stdout, which is for results."""
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    log = LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
    metrics = PrometheusConfig(metrics_address, durations_as_seconds=True) if metrics_address else None
    return Runtime(telemetry=TelemetryConfig(logging=log, metrics=metrics))


async def patiently(call: Callable[[], Awaitable[Answer]], job_id: str) -> Answer:
    """Call again while the server is gone, as it is for a moment when it crashed and is started again."""
    gone_since = None
    while True:
        started = time.monotonic()
        try:
            return await call()
        except RPCError as error:
            failure = as_v2t_error(error, job_id)
            now = time.monotonic()
            if gone_since is None or now - started > _PATIENCE_SECONDS:  # it answered until now
                gone_since = now
            if not isinstance(failure, ClusterUnreachable) or now - gone_since > _PATIENCE_SECONDS:
                raise failure from error
        await asyncio.sleep(_RETRY_SECONDS)


def as_v2t_error(error: BaseException, job_id: str = "") -> V2TError:
    """Translate what Temporal says into our own tree, by the innermost cause that has a name."""
    if isinstance(error, RPCError):
        return _of_call(error, job_id)
    found: V2TError | None = None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CancelledError):
            return JobCancelled()
        if isinstance(cause, TerminatedError):
            return JobTerminated()
        if isinstance(cause, ApplicationError):
            full = _DATABASE_FULL in cause.message
            found = StorageFull() if full else from_wire(cause.type or "", cause.message)
        cause = cause.__cause__
    return found or JobFailed(str(error))


def _of_call(error: RPCError, job_id: str) -> V2TError:
    """What a failed call to the server means."""
    if _DATABASE_FULL in error.message:
        return StorageFull()
    if "search attribute" in error.message.lower():
        return ConfigurationError(
            "The Temporal namespace does not know v2t's search attributes; `v2t cluster prepare` adds them."
        )
    if error.status == RPCStatusCode.NOT_FOUND:
        if "already completed" in error.message:
            return JobNotFound(f"The job {job_id} does not run any more; `v2t jobs show` says how it ended.")
        return JobNotFound(f"There is no job {job_id}; `v2t jobs list` shows those there are.")
    return ClusterUnreachable(f"The Temporal server failed: {error.message}")
