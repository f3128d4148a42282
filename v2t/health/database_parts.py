"""Looks at a cluster's database, its replica and Redis: plain calls that block, with timeouts of their own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from v2t.domain.errors import ConfigurationError, CredentialsRefused, RecordsUnreachable
from v2t.health.report import Part, broken, fine, reason_of, weak

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from v2t.config import Settings

_DATABASE = "database"
_REPLICA = "read replica"
_REDIS = "redis"


def look_at_database(settings: Settings, seconds: float) -> Sequence[Part]:
    """Version, migration and round trip of the records' database."""
    url = settings.database.url.reveal()
    if not url:
        step = "set database.url, so that all of the cluster shares them"
        return [weak(_DATABASE, "records are kept on this machine only", step, required=True)]
    return [_look_at_url(_DATABASE, url, seconds, required=True)]


def look_at_replica(settings: Settings, seconds: float) -> Sequence[Part]:
    """The same of the read replica, where one is set, and how far it is behind."""
    url = settings.database.replica_url.reveal()
    return [_look_at_url(_REPLICA, url, seconds, required=False)] if url else []


def _look_at_url(name: str, url: str, seconds: float, *, required: bool) -> Part:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    setting = "database.url" if required else "database.replica_url"
    try:
        address = make_url(url)
        is_postgresql = address.get_backend_name() == "postgresql"
        arguments = {"connect_timeout": max(1, int(seconds / 2))} if is_postgresql else {}
        engine = create_engine(address, poolclass=NullPool, connect_args=arguments, isolation_level="AUTOCOMMIT")
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
        summary = f"{setting} is not a URL of a database whose driver is installed"
        return broken(name, ConfigurationError, summary, f"mend {setting}", required=required)
    place = f"{address.host}:{address.port or 5432}/{address.database}" if is_postgresql else str(address.database)
    try:
        with engine.connect() as connection:
            if is_postgresql:
                connection.exec_driver_sql(f"SET statement_timeout = {int(seconds * 500)}")
            started = time.monotonic()
            connection.exec_driver_sql("SELECT 1")
            milliseconds = (time.monotonic() - started) * 1000
            return _judge_database(name, place, connection, milliseconds, required=required)
    except DBAPIError as error:
        return _unreachable(name, place, setting, str(error.orig), required=required)


def _unreachable(name: str, place: str, setting: str, message: str, *, required: bool) -> Part:
    first = message.partition("\n")[0]
    reason = first.rpartition("FATAL:")[2].rpartition("failed: ")[2].strip()
    if "password" in reason or "authentication" in reason:
        step = f"check the user and password in {setting}"
        return broken(name, CredentialsRefused, f"{place} refuses the account", step, required=required)
    step = f"start PostgreSQL, or mend {setting}"
    return broken(name, RecordsUnreachable, f"{place} does not answer ({reason[:120]})", step, required=required)


def _judge_database(name: str, place: str, connection: Connection, milliseconds: float, *, required: bool) -> Part:
    from sqlalchemy import inspect

    from v2t.db.migrations import HEAD

    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    revision = ""
    if inspect(connection).has_table("alembic_version"):
        revision = str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() or "")
    facts = {"version": version, "revision": revision, "wanted_revision": HEAD, "milliseconds": round(milliseconds, 1)}
    summary = f"{place}, {connection.dialect.name} {version}, migration {revision or 'none'}, {milliseconds:.0f} ms"
    if name == _REPLICA and connection.dialect.name == "postgresql":
        lag = connection.exec_driver_sql(
            "SELECT CASE WHEN pg_is_in_recovery() THEN"
            " coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0) ELSE 0 END"
        ).scalar()
        facts["lag_seconds"] = float(lag or 0)
        summary += f", last change {float(lag or 0):.0f} s ago"
    if revision < HEAD:
        step = "the tables are made by the next worker that starts, or by `v2t jobs list`"
        return weak(name, summary, step, required=required, **facts)
    return fine(name, summary, required=required, **facts)


def look_at_redis(settings: Settings, seconds: float) -> Sequence[Part]:
    """The shared cache; without it jobs are slower, no more."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    url = settings.cache.redis_url.reveal()
    if not url:
        return [fine(_REDIS, "not used (cache.redis_url is empty)")]
    step = "start it, or mend cache.redis_url; jobs go on without it, slower"
    try:
        client = redis.Redis.from_url(
            url, socket_timeout=seconds / 2, socket_connect_timeout=seconds / 2, retry=Retry(NoBackoff(), 0)
        )
    except ValueError:
        return [weak(_REDIS, "cache.redis_url is not a Redis URL", "mend it; jobs go on without it, slower")]
    place = "{host}:{port}".format_map({"host": "?", "port": "?", **client.connection_pool.connection_kwargs})
    try:
        with client:
            facts: Any = client.info()
            version, used = facts.get("redis_version", "?"), int(facts.get("used_memory", 0))
    except redis.AuthenticationError:
        return [weak(_REDIS, f"{place} refuses the account", "check the password in cache.redis_url")]
    except (redis.RedisError, OSError) as error:
        return [weak(_REDIS, f"{place} does not answer ({reason_of(error)})", step)]
    summary = f"{place}, version {version}, {used / 1024**2:.0f} MB used"
    return [fine(_REDIS, summary, version=version, used_bytes=used)]
