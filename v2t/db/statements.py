"""What is asked of the tables, as SQLAlchemy statements; nothing here touches a database."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ColumnElement, Delete, Insert, RowMapping, Select, Table, and_, case, delete, func, or_, select

from v2t.db.schema import PROVIDER_ATTEMPTS, TRANSCRIPTIONS
from v2t.domain.errors import ProviderResting
from v2t.domain.jobs import JobState
from v2t.domain.ports import JobFilter
from v2t.domain.records import JobRecord, ProviderAttempt

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as Upsert

_RUN = ("job_id", "created_at")


def save_record(dialect: str, record: JobRecord) -> Insert:
    """Insert, or replace unless a truer row stands there; on PostgreSQL a trigger deals with rows of other runs."""
    fields = _fields(record)
    statement = _insert(dialect, TRANSCRIPTIONS).values(fields)
    old, new = TRANSCRIPTIONS.c, statement.excluded
    same_run = and_(
        new.created_at == old.created_at,
        or_(old.state == JobState.RUNNING, new.state != JobState.RUNNING),
    )
    if dialect == "sqlite":
        return statement.on_conflict_do_update(
            index_elements=[old.job_id],
            set_={name: new[name] for name in fields if name != "job_id"},
            where=or_(new.created_at > old.created_at, same_run),
        )
    return statement.on_conflict_do_update(
        index_elements=[old.job_id, old.created_at],
        set_={name: new[name] for name in fields if name not in _RUN},
        where=same_run,
    )


def save_attempt(dialect: str, attempt: ProviderAttempt) -> Insert:
    """Insert a try, or replace what was said of the same one."""
    fields = _fields(attempt)
    statement = _insert(dialect, PROVIDER_ATTEMPTS).values(fields)
    key = list(PROVIDER_ATTEMPTS.primary_key.columns)
    names = {column.name for column in key}
    return statement.on_conflict_do_update(
        index_elements=key, set_={name: statement.excluded[name] for name in fields if name not in names}
    )


def attempts_of(job_id: str) -> Select[Any]:
    """The tries for a job, in the order they began."""
    tries = PROVIDER_ATTEMPTS.c
    return (
        select(PROVIDER_ATTEMPTS)
        .where(tries.job_id == job_id)
        .order_by(tries.started_at, tries.chunk_index, tries.attempt, tries.provider)
    )


def costs(dialect: str, by: str, since: float, until: float) -> Select[Any]:
    """Successful tries begun in a span of time, summed by provider, user or month (UTC), in the order of that."""
    tries = PROVIDER_ATTEMPTS.c
    keys: dict[str, ColumnElement[Any]] = {
        "provider": tries.provider,
        "user": func.coalesce(TRANSCRIPTIONS.c.user, ""),
        "month": func.strftime("%Y-%m", tries.started_at, "unixepoch")
        if dialect == "sqlite"
        else func.to_char(func.timezone("UTC", func.to_timestamp(tries.started_at)), "YYYY-MM"),
    }
    key = keys[by].label("key")
    tables = PROVIDER_ATTEMPTS.outerjoin(TRANSCRIPTIONS, TRANSCRIPTIONS.c.job_id == tries.job_id)
    query = (
        select(
            key,
            func.count(tries.job_id.distinct()).label("jobs"),
            func.sum(tries.audio_seconds).label("audio_seconds"),
            func.sum(tries.dollars).label("dollars"),
        )
        .select_from(tables if by == "user" else PROVIDER_ATTEMPTS)
        .where(tries.error_code == "", tries.started_at >= since)
        .group_by(key)
        .order_by(key)
    )
    return query if until == math.inf else query.where(tries.started_at < until)


def calls(since: float) -> Select[Any]:
    """Tries begun since a Unix time, and how many went well, by provider, in the order of that."""
    tries = PROVIDER_ATTEMPTS.c
    return (
        select(
            tries.provider,
            func.count().label("calls"),
            func.sum(case((tries.error_code == "", 1), else_=0)).label("succeeded"),
        )
        .where(tries.started_at >= since, tries.error_code != ProviderResting.__name__)
        .group_by(tries.provider)
        .order_by(tries.provider)
    )


def record_of(job_id: str) -> Select[Any]:
    """The row of one job."""
    return select(TRANSCRIPTIONS).where(TRANSCRIPTIONS.c.job_id == job_id)


def matching(wanted: JobFilter) -> Select[Any]:
    """The rows that match, newest first; each exact field has an index that also gives the order."""
    jobs = TRANSCRIPTIONS.c
    query = select(TRANSCRIPTIONS).order_by(jobs.created_at.desc(), jobs.job_id).limit(wanted.limit)
    exact = ((jobs.user, wanted.user), (jobs.provider, wanted.provider), (jobs.batch_id, wanted.batch_id))
    query = query.where(*(column == storable(value) for column, value in exact if value))
    if wanted.state is not None:
        query = query.where(jobs.state == wanted.state)
    if wanted.since:
        query = query.where(jobs.created_at >= wanted.since)
    if wanted.until:
        query = query.where(jobs.created_at < wanted.until)
    if wanted.text:
        part = storable(wanted.text)
        query = query.where(
            or_(jobs.name.icontains(part, autoescape=True), jobs.job_id.icontains(part, autoescape=True))
        )
    return query


def finished_before(created_before: float, limit: int) -> Select[Any]:
    """The rows of finished jobs created before a Unix time, oldest first."""
    jobs = TRANSCRIPTIONS.c
    return (
        select(TRANSCRIPTIONS)
        .where(jobs.created_at < created_before, jobs.state != JobState.RUNNING)
        .order_by(jobs.created_at, jobs.job_id)
        .limit(limit)
    )


def forget(job_ids: Sequence[str]) -> tuple[Delete, ...]:
    """Deletions in an order that may be broken off: while a job's row stands, its deletion is asked for again."""
    return (
        delete(PROVIDER_ATTEMPTS).where(PROVIDER_ATTEMPTS.c.job_id.in_(job_ids)),
        delete(TRANSCRIPTIONS).where(TRANSCRIPTIONS.c.job_id.in_(job_ids)),
    )


def to_record(row: RowMapping) -> JobRecord:
    """A row of `transcriptions` as the domain knows it."""
    return JobRecord(**{**row, "state": JobState(row["state"]), "tags": tuple(row["tags"].split())})


def to_attempt(row: RowMapping) -> ProviderAttempt:
    """A row of `provider_attempts` as the domain knows it."""
    return ProviderAttempt(**row)


def storable(text: str) -> str:
    """Text that both databases keep: undecodable bytes of a file name and NUL become question marks."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _fields(facts: JobRecord | ProviderAttempt) -> dict[str, Any]:
    plain = {name: " ".join(value) if isinstance(value, tuple) else value for name, value in asdict(facts).items()}
    return {name: storable(value) if isinstance(value, str) else value for name, value in plain.items()}


def _insert(dialect: str, table: Table) -> Upsert:
    """An INSERT that knows ON CONFLICT; SQLite's has the same methods, and no class in common."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return cast("Upsert", sqlite.insert(table))
    from sqlalchemy.dialects import postgresql  # loads in 30 ms, which one machine by itself need not wait for

    return postgresql.insert(table)
