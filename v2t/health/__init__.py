"""Whether the system can transcribe: its parts, looked at side by side, each in its own time. Nothing is changed."""

from __future__ import annotations

from v2t.health.examination import examine
from v2t.health.report import HealthReport, Part, Status

__all__ = ["HealthReport", "Part", "Status", "examine"]
