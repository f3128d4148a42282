"""The systemd units of a cluster: which group runs them, and what an operator calls them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from v2t.domain.errors import UsageError

_PATTERN = re.compile(r"[A-Za-z0-9_*?\[\]@:.\\-]+")
_SUFFIX = ".service"


@dataclass(frozen=True, slots=True)
class Service:
    """What a group runs."""

    called: str
    group: str
    pattern: str
    """Of its units' names, as systemd takes it, without `.service`."""
    is_required: bool = True
    """Whether a host of the group that has no such unit lacks something."""


SERVICES = (
    Service("postgresql", "postgresql", "postgresql@*"),
    Service("temporal", "temporal", "v2t-temporal"),
    Service("temporal-ui", "temporal", "v2t-temporal-ui"),
    Service("minio", "minio", "v2t-minio@*"),
    Service("redis", "redis", "redis-server"),
    Service("haproxy", "loadbalancer", "haproxy"),
    Service("worker", "workers", "v2t-worker@*"),
    Service("scale", "workers", "v2t-scale", is_required=False),
    Service("prometheus", "monitoring", "prometheus", is_required=False),
    Service("alertmanager", "monitoring", "prometheus-alertmanager", is_required=False),
    Service("grafana", "monitoring", "grafana-server", is_required=False),
    Service("node-exporter", "v2t", "prometheus-node-exporter", is_required=False),
    Service("exporters", "v2t", "prometheus-*-exporter", is_required=False),
    Service("firewall", "v2t", "v2t-firewall", is_required=False),
    Service("v2t", "v2t", "v2t-*", is_required=False),
)
"""All of ours, and those of the distribution that the roles set up. The last one takes what no other names."""

WORKERS = next(service for service in SERVICES if service.called == "worker")
"""What a host that is drained does not run."""


def of_groups(groups: Sequence[str]) -> list[Service]:
    """What a host of these groups runs."""
    return [service for service in SERVICES if service.group in groups]


def service_of(unit: str, services: Sequence[Service] = SERVICES) -> Service | None:
    """The first that a unit belongs to."""
    name = unit.removesuffix(_SUFFIX)
    return next((service for service in services if fnmatch.fnmatchcase(name, service.pattern)), None)


def find_units(text: str) -> tuple[str, tuple[str, ...]]:
    """What an operator calls a unit: its pattern for systemd, and the groups whose hosts have it; none: any host.

    Raises:
        UsageError: no unit has such a name.
    """
    for service in SERVICES[:-1]:
        if text == service.called:
            return service.pattern + _SUFFIX, (service.group,)
    if not _PATTERN.fullmatch(text):
        raise UsageError(f"{text!r} is not the name of a unit; try {', '.join(one.called for one in SERVICES[:-1])}")
    name = text.removesuffix(_SUFFIX)
    found = service_of(name, SERVICES[:-1])
    return (text if re.search(r"\.[a-z]+$", text) else name + _SUFFIX), ((found.group,) if found else ())
