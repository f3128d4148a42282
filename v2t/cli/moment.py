"""Points in time as people type them."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

_AGO = re.compile(r"(\d+)([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


if TYPE_CHECKING:
    _Time = click.ParamType[float]
else:
    _Time = click.ParamType  # generic since click 8.3 only


class Moment(_Time):
    """A date, a date with a time, or how long ago; gives Unix time. A time without a zone is this machine's."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it. Ends with a usage error where it cannot be read."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        if ago := _AGO.fullmatch(text):
            return time.time() - int(ago[1]) * _UNIT_SECONDS[ago[2]]
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a time; write 2h, 3d, 2026-11-25 or 2026-11-25T14:30.", param, ctx)
