"""The sections of settings that tell where a cluster's servers are and how a worker serves them."""

from __future__ import annotations

import socket
from typing import Literal

from pydantic import Field, model_validator

from v2t.config.lists import TagsOrCommas
from v2t.config.machine import Folder, Section, data_folder
from v2t.config.secret import NO_SECRET, Secret


class TemporalSettings(Section):
    """The cluster's Temporal server; without an address v2t runs an embedded cluster."""

    address: str = Field(
        default="",
        pattern=r"^([^\s:/]+:\d{1,5})?$",
        description="Host and port of the cluster's Temporal; empty: run everything on this machine.",
        examples=["m2.example.org:7233"],
    )
    namespace: str = Field(
        default="v2t", pattern=r"^[A-Za-z0-9._-]+$", description="Temporal namespace of the jobs.", examples=["v2t"]
    )
    ca_file: str = Field(
        default="",
        description="Certificate authority of the server; with it the connection uses TLS.",
        examples=["/etc/v2t/ca.pem"],
    )
    certificate_file: str = Field(
        default="", description="Client certificate for mutual TLS.", examples=["/etc/v2t/client.pem"]
    )
    key_file: str = Field(
        default="", description="Private key of the client certificate.", examples=["/etc/v2t/client-key.pem"]
    )
    server_name: str = Field(
        default="", description="Name in the server's certificate, where it is not its host.", examples=["temporal"]
    )


class StorageSettings(Section):
    """The cluster's object store, MinIO or another that speaks S3."""

    endpoint: str = Field(
        default="", pattern=r"^([^\s/]+)?$", description="Host and port.", examples=["m2.example.org:9000"]
    )
    secure: bool = Field(default=True, description="Connect by TLS.", examples=[False])
    ca_file: str = Field(
        default="", description="Certificate authority; empty: the system's.", examples=["/etc/v2t/ca.pem"]
    )
    region: str = Field(default="us-east-1", description="Region to sign requests for.", examples=["eu-central-1"])
    access_key: str = Field(default="", description="Name of the account.", examples=["v2t-worker"])
    secret_key: Secret = Field(default=NO_SECRET, description="Its secret.", examples=["file:/etc/v2t/secrets/storage"])
    audio_bucket: str = Field(default="v2t-audio", description="Bucket of recordings.", examples=["v2t-audio"])
    transcripts_bucket: str = Field(
        default="v2t-transcripts",
        description="Bucket of transcripts, chunks and batches.",
        examples=["v2t-transcripts"],
    )
    models_bucket: str = Field(default="v2t-models", description="Bucket of speech models.", examples=["v2t-models"])
    archive_bucket: str = Field(
        default="v2t-archive", description="Bucket of archived transcripts.", examples=["cold-transcripts"]
    )
    encrypt: bool = Field(default=True, description="Have the store encrypt what it keeps (SSE-S3).", examples=[False])
    part_mb: int = Field(default=16, ge=5, le=5120, description="Size of the parts of an upload, in MB.", examples=[64])


class DatabaseSettings(Section):
    """The cluster's records of jobs."""

    url: Secret = Field(
        default=NO_SECRET,
        description="SQLAlchemy URL; empty: a SQLite file in standalone.folder.",
        examples=["file:/etc/v2t/secrets/database-url"],
    )
    replica_url: Secret = Field(
        default=NO_SECRET,
        description="URL of a read replica for lists and searches.",
        examples=["file:/etc/v2t/secrets/replica-url"],
    )
    months_ahead: int = Field(default=3, ge=1, le=24, description="Monthly partitions made ahead.", examples=[6])


class CacheSettings(Section):
    """Copies of objects near the work: on the worker's disk, and in Redis."""

    folder: Folder = Field(
        default_factory=lambda: data_folder() / "cache",
        description="Folder of the disk cache.",
        examples=["~/.local/share/v2t/cache"],
    )
    disk_mb: int = Field(
        default=10_240, ge=0, description="Space the disk cache may use, in MB; 0: no disk cache.", examples=[102_400]
    )
    redis_url: Secret = Field(
        default=NO_SECRET,
        description="Redis shared by the cluster; empty: none.",
        examples=["file:/etc/v2t/secrets/redis-url"],
    )
    redis_object_kb: int = Field(default=512, ge=0, description="Largest object kept in Redis, in kB.", examples=[1024])
    redis_ttl_seconds: int = Field(
        default=86_400, ge=1, description="How long Redis keeps an object, in seconds.", examples=[3600]
    )


class WorkerSettings(Section):
    """`v2t worker run`."""

    kind: Literal["cpu", "gpu", "memory", "remote"] = Field(
        default="cpu",
        description="Which work it takes: cpu, gpu, memory (large models) or remote (API providers).",
        examples=["gpu"],
    )
    host: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,200}$",
        description="Name of the machine, whose disk workers of the same name share; empty: its own name.",
        examples=["m4-1"],
    )
    health_address: str = Field(
        default="0.0.0.0",  # noqa: S104 - the monitoring host asks from outside; the firewall decides who may
        description="Address of the health server.",
        examples=["127.0.0.1"],
    )
    health_port: int = Field(default=8081, ge=0, le=65_535, description="Its port; 0: any free one.", examples=[8082])
    bookkeeping_slots: int = Field(
        default=8, ge=1, le=1000, description="Files cut, merged and recorded at once.", examples=[16]
    )
    remote_slots: int = Field(
        default=16, ge=1, le=1000, description="Requests to each provider on another machine at once.", examples=[4]
    )
    drain_seconds: float = Field(
        default=30.0, ge=0, description="How long running steps may go on after SIGTERM.", examples=[300.0]
    )
    acceleration: Literal["auto", "cpu", "cuda", "metal", "vulkan"] = Field(
        default="auto", description="What the engines compute on.", examples=["cuda"]
    )
    versioned: bool = Field(
        default=False,
        description="Tell Temporal this worker's version, so that a rolling upgrade keeps running workflows on one.",
        examples=[True],
    )
    build_id: str = Field(default="", description="That version; empty: v2t's own.", examples=["0.1.0-2"])

    @property
    def machine(self) -> str:
        """The name of the machine."""
        return self.host or socket.gethostname()


class BatchSettings(Section):
    """Batches of files."""

    groups_in_flight: int = Field(
        default=8, ge=1, le=100, description="Groups of files worked on at once.", examples=[16]
    )
    settle_seconds: float = Field(
        default=5.0,
        ge=0,
        description="How long a watched file must stay unchanged before it is taken.",
        examples=[30.0],
    )


class UploadsSettings(Section):
    """Recordings dropped into the object store with any S3 client."""

    listen_address: str = Field(default="127.0.0.1", description="Address of `v2t gateway run`.", examples=["10.0.0.2"])
    listen_port: int = Field(default=8080, ge=0, le=65_535, description="Its port; 0: any free one.", examples=[8080])
    token: Secret = Field(
        default=NO_SECRET,
        description="What the object store must show with its notifications.",
        examples=["file:/etc/v2t/secrets/upload-token"],
    )
    model: str = Field(default="", description="Model for dropped files; empty: models.default.", examples=["small"])
    language: str = Field(default="", description="Language of dropped files; empty: detect.", examples=["de"])
    tags: TagsOrCommas = Field(default=(), description="Tags of dropped files, for the rules.", examples=[["dropped"]])
    sweep_minutes: float = Field(
        default=5.0,
        gt=0,
        description="How often the store is searched for files whose notification was lost.",
        examples=[1.0],
    )


class RetentionSettings(Section):
    """How long a cluster keeps what it made; 0 keeps for ever."""

    audio_days: int = Field(default=0, ge=0, le=36_500, description="Days until a recording is deleted.", examples=[30])
    archive_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Days until a transcript moves to the archive bucket, compressed.",
        examples=[365],
    )
    delete_days: int = Field(
        default=0, ge=0, le=36_500, description="Days until a transcript and its record are deleted.", examples=[3650]
    )
    at_hour: int = Field(
        default=3, ge=0, le=23, description="Hour of the day, UTC, at which it is applied.", examples=[1]
    )

    @model_validator(mode="after")
    def _deleting_comes_last(self) -> RetentionSettings:
        if self.delete_days and self.archive_days >= self.delete_days:
            raise ValueError("archive_days is not below delete_days")
        return self
