"""The monthly partitions of `transcriptions` on PostgreSQL: made ahead, and filled with what strayed.

`created_at` is in Unix seconds, and a partition holds one calendar month in UTC. What has no partition of its own
is kept in `transcriptions_default`, so that nobody ever waits for a partition, and moves when its month is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

_LOCK = 0x763275
"""PostgreSQL advisory lock: one process at a time makes partitions."""

_LOCK_TIMEOUT = "5s"
"""How long the table may be waited for; everybody else waits behind us."""

_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
"""Before v2t: an older time is a broken clock's and stays in the default partition."""

_EXISTING = text("""
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'transcriptions'::regclass
""")
_STRAYS = text("SELECT EXISTS (SELECT FROM transcriptions_default WHERE created_at >= :since AND created_at < :until)")
_STRAY_DAYS = text("""
    SELECT DISTINCT floor(created_at / 86400) FROM transcriptions_default
    WHERE created_at >= :since AND created_at < :until
""")
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, unix_time: float) -> Month:
        """The month that a Unix time is in."""
        moment = datetime.fromtimestamp(math.floor(unix_time), UTC)  # which by itself would round up
        return cls(moment.year, moment.month)

    @property
    def following(self) -> Month:
        """The next month."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def start(self) -> int:
        """Its first second, in Unix time; its end is the start of the following one."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp())

    @property
    def table(self) -> str:
        """The name of its partition."""
        return f"transcriptions_y{self.year:04d}m{self.month:02d}"


def months_from(now: float, ahead: int) -> list[Month]:
    """The month of a Unix time and as many as `ahead` after it."""
    months = [Month.of(now)]
    for _ in range(ahead):
        months.append(months[-1].following)
    return months


def are_complete(connection: Connection, months: Iterable[Month]) -> bool:
    """Whether nothing needs to be done: every partition is there, and no row of a month that could have one strays."""
    wanted = list(months)
    existing = set(connection.execute(_EXISTING).scalars())
    return (
        existing.issuperset(month.table for month in wanted)
        and not connection.execute(_STRAYS, _window(wanted)).scalar_one()
    )


def make(connection: Connection, months: Iterable[Month]) -> list[Month]:
    """Make the missing partitions of these months, and of every month that has strays, and move the strays there.

    Needs an open transaction. Several processes may do this at once: one makes them, the others find them.

    Returns:
        The months made now.
    """
    wanted = list(months)
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    if connection.execute(_STRAYS, _window(wanted)).scalar_one():
        # rows are to change their table: nobody may look while they are in neither
        connection.exec_driver_sql("LOCK TABLE transcriptions IN ACCESS EXCLUSIVE MODE")
    stray_days = connection.execute(_STRAY_DAYS, _window(wanted)).scalars()
    stray = {Month.of(day * _DAY_SECONDS) for day in stray_days}
    existing = set(connection.execute(_EXISTING).scalars())
    missing = [month for month in sorted({*wanted, *stray}) if month.table not in existing]
    for month in missing:
        _make_one(connection, month, has_strays=month in stray)
    return missing


def _make_one(connection: Connection, month: Month, *, has_strays: bool) -> None:
    since, until = month.start, month.following.start
    connection.exec_driver_sql(f"CREATE TABLE {month.table} (LIKE transcriptions INCLUDING DEFAULTS)")
    if has_strays:
        stray = "DELETE FROM transcriptions_default WHERE created_at >= :since AND created_at < :until RETURNING *"
        move = f"WITH stray AS ({stray}) INSERT INTO {month.table} SELECT * FROM stray"  # noqa: S608 - our own name
        connection.execute(text(move), {"since": float(since), "until": float(until)})
    # Attached, it gets the keys, indexes and triggers of the whole; reading and writing go on meanwhile.
    connection.exec_driver_sql(
        f"ALTER TABLE transcriptions ATTACH PARTITION {month.table} FOR VALUES FROM ({since}) TO ({until})"
    )


def _window(wanted: list[Month]) -> dict[str, float]:
    return {"since": _EARLIEST.timestamp(), "until": float(wanted[-1].following.start)}
