"""The composition root: from settings to opened adapters. Nothing else constructs them."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from v2t.domain.errors import ConfigurationError
from v2t.domain.jobs import AUTO, TranscribeOptions
from v2t.domain.ports import JobFilter, ObjectStore, RemoteTranscriber
from v2t.domain.records import CallsLine, CostLine, JobRecord, ProviderAttempt

if TYPE_CHECKING:
    from v2t.client import Client
    from v2t.config import Settings
    from v2t.db.records import SqlJobRecords
    from v2t.providers.engines import Engines
    from v2t.storage.breakers import SharedBreakers
    from v2t.storage.cache import CachedObjectStore
    from v2t.storage.minio import MinioObjectStore
    from v2t.storage.minio_client import Buckets, StoreAccount
    from v2t.storage.objects import DirectoryObjectStore
    from v2t.storage.redis_cache import RedisCache
    from v2t.weights.store import ModelStore

_MEGABYTE = 1024 * 1024
_KILOBYTE = 1024


def open_store(settings: Settings) -> ObjectStore:
    """The object store: the cluster's, its small objects also from Redis, or a folder of this machine."""
    return _cached(settings, disk_mb=0, metered=False) if settings.is_cluster else open_folder_store(settings)


def open_worker_store(settings: Settings) -> CachedObjectStore:
    """The cluster's object store as a worker uses it: with a cache on this machine's disk."""
    return _cached(settings, disk_mb=settings.cache.disk_mb, metered=True)


def open_folder_store(settings: Settings) -> DirectoryObjectStore:
    """The object store of one machine."""
    from v2t.storage.objects import DirectoryObjectStore

    return DirectoryObjectStore(settings.standalone.folder / "objects")


def open_bucket_store(settings: Settings) -> MinioObjectStore:
    """The cluster's object store, without any cache. Raises ConfigurationError when settings lack it."""
    from v2t.storage.minio import MinioObjectStore

    storage = settings.storage
    return MinioObjectStore(
        store_account(settings), buckets(settings), scratch_folder(settings), storage.part_mb * _MEGABYTE
    )


def store_account(settings: Settings) -> StoreAccount:
    """Who this process is to the cluster's object store. Raises ConfigurationError when settings lack it."""
    from v2t.storage.minio_client import StoreAccount

    storage = settings.storage
    if not storage.endpoint:
        raise ConfigurationError("storage.endpoint is not set; a cluster needs it beside temporal.address")
    return StoreAccount(
        storage.endpoint,
        storage.access_key,
        storage.secret_key.reveal(),
        secure=storage.secure,
        ca_file=storage.ca_file,
        region=storage.region,
    )


def buckets(settings: Settings) -> Buckets:
    """What the cluster's buckets are called."""
    from v2t.storage.minio_client import Buckets

    storage = settings.storage
    return Buckets(
        audio=storage.audio_bucket,
        transcripts=storage.transcripts_bucket,
        models=storage.models_bucket,
        archive=storage.archive_bucket,
    )


def _cached(settings: Settings, *, disk_mb: int, metered: bool) -> CachedObjectStore:
    from v2t.storage.cache import CachedObjectStore
    from v2t.storage.disk_cache import DiskCache

    disk = DiskCache(settings.cache.folder, disk_mb * _MEGABYTE) if disk_mb else None
    return CachedObjectStore(open_bucket_store(settings), disk=disk, redis=_open_redis(settings), metered=metered)


def _open_redis(settings: Settings) -> RedisCache | None:
    """None where the cluster has none."""
    from v2t.storage.redis_cache import RedisCache

    cache, url = settings.cache, settings.cache.redis_url.reveal()
    if not url:
        return None
    return RedisCache(url, object_bytes=cache.redis_object_kb * _KILOBYTE, ttl_seconds=cache.redis_ttl_seconds)


def scratch_folder(settings: Settings) -> Path:
    """The folder for files on their way into or out of the store; made when missing."""
    folder = (settings.cache.folder if settings.is_cluster else settings.standalone.folder) / "scratch"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def open_models(settings: Settings) -> ModelStore:
    """The model files of this machine; in a cluster those that are missing come from its bucket."""
    from v2t.weights.bucket import Bucket
    from v2t.weights.store import ModelStore

    bucket = Bucket(lambda: open_bucket_store(settings)) if settings.is_cluster else None
    return ModelStore(settings.models.folder, hub=settings.models.hub, bucket=bucket)


def open_engines(settings: Settings, probe_seconds: float = 60.0) -> Engines:
    """The engines of this machine, of which nothing is known yet; each has that time to say whether it works."""
    from v2t.providers.engine_probe import probe_engine
    from v2t.providers.engines import Engines

    return Engines(settings.engine.whisper_cli, lambda engine: probe_engine(engine, probe_seconds))


def open_provider(settings: Settings, name: str) -> RemoteTranscriber:
    """A provider on another machine.

    Raises:
        EngineNotInstalled: its library is missing.
        ConfigurationError: its settings do not allow it to work.
    """
    from v2t.providers.table import REMOTE_PROVIDERS, load_class

    opened: RemoteTranscriber = load_class(REMOTE_PROVIDERS[name])(getattr(settings, name))
    return opened


def open_breakers(settings: Settings) -> SharedBreakers:
    """What is known of the failures of providers on other machines; of a cluster's, by all its machines."""
    from v2t.storage.breakers import SharedBreakers

    return SharedBreakers(_open_redis(settings) if settings.is_cluster else None)


def open_records(settings: Settings) -> LazyJobRecords:
    """The job records, opened at their first use: their library takes half a second to load."""
    return LazyJobRecords(settings)


async def connect_client(settings: Settings, metrics_address: str = "") -> Client:
    """A connection to the cluster's Temporal; with `metrics_address` the SDK shows its own metrics there.

    Raises:
        ConfigurationError: there is no cluster in the settings.
        ClusterUnreachable: nobody answers there.
    """
    from v2t.client import Client, TlsFiles

    temporal = settings.temporal
    if not settings.is_cluster:
        raise ConfigurationError("temporal.address is not set; `v2t transcribe` works on this machine without it")
    tls = (
        TlsFiles(
            ca=temporal.ca_file,
            certificate=temporal.certificate_file,
            key=temporal.key_file,
            server_name=temporal.server_name,
        )
        if temporal.ca_file or temporal.certificate_file
        else None
    )
    return await Client.connect(temporal.address, temporal.namespace, tls, metrics_address)


def upload_options(settings: Settings) -> TranscribeOptions:
    """How dropped files are transcribed. Raises UnknownModel, UnknownLanguage."""
    from v2t.domain.languages import parse_language
    from v2t.weights.catalogue import find_model

    facts = find_model(settings.uploads.model or settings.models.default)
    language = "en" if facts.is_english_only else parse_language(settings.uploads.language)
    return TranscribeOptions(AUTO, facts.name, language)


async def make_schedules(settings: Settings, client: Client) -> None:
    """See that the cluster looks for lost uploads and applies the retention policy, as often as the settings say."""
    from v2t.client.schedules import ensure_schedules
    from v2t.domain.retention import RetentionPolicy

    kept = settings.retention
    await ensure_schedules(
        client,
        sweep_minutes=settings.uploads.sweep_minutes,
        options=upload_options(settings),
        retention=RetentionPolicy(kept.audio_days, kept.archive_days, kept.delete_days),
        at_hour=kept.at_hour,
        tags=settings.uploads.tags,
    )


class LazyJobRecords:
    """JobRecords that open their database at the first use, or ahead of it in a thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: SqlJobRecords | None = None

    def open(self) -> SqlJobRecords:
        """The opened records. Raises StorageError, RecordsUnreachable, ConfigurationError."""
        with self._lock:
            if self._opened is None:
                from v2t.db.records import open_records

                database = self._settings.database
                url = database.url.reveal() or f"sqlite:///{self._settings.standalone.folder / 'records.db'}"
                self._opened = open_records(
                    url, replica_url=database.replica_url.reveal(), months_ahead=database.months_ahead
                )
            return self._opened

    def close(self) -> None:
        """Close the database if it was opened."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()

    def save(self, record: JobRecord) -> None:
        """As JobRecords."""
        self.open().save(record)

    def save_attempt(self, attempt: ProviderAttempt) -> None:
        """As JobRecords."""
        self.open().save_attempt(attempt)

    def attempts(self, job_id: str) -> Sequence[ProviderAttempt]:
        """As JobRecords."""
        return self.open().attempts(job_id)

    def costs(self, by: str, since: float = 0.0, until: float = math.inf) -> Sequence[CostLine]:
        """As JobRecords."""
        return self.open().costs(by, since, until)

    def calls(self, since: float) -> Sequence[CallsLine]:
        """As JobRecords."""
        return self.open().calls(since)

    def get(self, job_id: str) -> JobRecord | None:
        """As JobRecords."""
        return self.open().get(job_id)

    def find(self, wanted: JobFilter) -> Sequence[JobRecord]:
        """As JobRecords."""
        return self.open().find(wanted)

    def older_than(self, created_before: float, limit: int) -> Sequence[JobRecord]:
        """As JobRecords."""
        return self.open().older_than(created_before, limit)

    def delete(self, job_ids: Sequence[str]) -> None:
        """As JobRecords."""
        self.open().delete(job_ids)

    def make_room(self, now: float) -> None:
        """As JobRecords."""
        self.open().make_room(now)
