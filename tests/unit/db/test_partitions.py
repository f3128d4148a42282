from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.db.partitions import Month, months_from


def unix(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("moment", "month"),
    [
        (unix(2026, 11, 30, 23, 59, 59) + 0.999, Month(2026, 11)),
        (unix(2026, 12, 1), Month(2026, 12)),
        (unix(2026, 12, 31, 23, 59, 59), Month(2026, 12)),
        (unix(2027, 1, 1), Month(2027, 1)),
        (unix(2028, 2, 29, 12), Month(2028, 2)),
    ],
)
def test_a_month_begins_and_ends_in_utc(moment: float, month: Month) -> None:
    assert Month.of(moment) == month


def test_the_months_ahead_go_over_the_turn_of_the_year() -> None:
    months = months_from(unix(2026, 11, 25), ahead=2)
    assert [month.table for month in months] == [
        "transcriptions_y2026m11",
        "transcriptions_y2026m12",
        "transcriptions_y2027m01",
    ]


@given(st.floats(min_value=0, max_value=unix(2100, 1, 1)))
def test_every_moment_is_in_exactly_the_month_it_belongs_to(moment: float) -> None:
    month = Month.of(moment)
    assert month.start <= moment < month.following.start
