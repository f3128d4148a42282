"""Which providers on other machines a worker asks, and within which limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2t.planning import remote_providers
from v2t.worker.runtime import Asked

if TYPE_CHECKING:
    from v2t.config import Settings

_MINUTE_SECONDS = 60.0


def asked_providers(settings: Settings) -> tuple[Asked, ...]:
    """Those that are set up."""
    sections = {name: getattr(settings, name) for name in remote_providers(settings)}
    return tuple(
        Asked(
            name,
            section.slots(settings.worker.remote_slots),
            getattr(section, "requests_per_minute", 0.0) / _MINUTE_SECONDS,
        )
        for name, section in sections.items()
    )
