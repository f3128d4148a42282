from __future__ import annotations

import time
from datetime import UTC, datetime

import click
import pytest

from v2t.cli.moment import Moment


def read(text: str) -> float:
    return Moment().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("3d", 259_200), ("1w", 604_800)]
)
def test_how_long_ago(text: str, seconds: int) -> None:
    assert abs(time.time() - seconds - read(text)) < 5


def test_a_date_is_this_machines_midnight() -> None:
    assert read("2026-11-25") == datetime(2026, 11, 25).timestamp()


def test_a_time_with_a_zone() -> None:
    assert read("2026-11-25T14:30:00+00:00") == datetime(2026, 11, 25, 14, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "2x", "-3d", "2026-13-01", "3"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 2h, 3d, 2026-11-25"):
        read(text)
