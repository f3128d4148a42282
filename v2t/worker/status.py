"""Where a worker stands: what its health page, `/ready` and systemd are told."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import time
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import REGISTRY

from v2t.worker.acceleration import Acceleration
from v2t.worker.runtime import Role
from v2t.worker.watch import TaskWatch

SCHEMA = "v2t.worker/1"


@dataclass(slots=True)
class WorkerStatus:
    """The facts of one worker process; `service.py` keeps them true."""

    role: Role
    watch: TaskWatch
    acceleration: Acceleration | None
    model: str
    temporal_address: str
    metrics_address: str  # where the Temporal SDK shows its own
    phase: str = "starting"  # starting, waiting for …, polling, draining
    started: bool = False  # all servers have answered once
    polling: bool = False
    temporal_reachable: bool = False
    turns: int = 0  # how often Temporal was asked
    temporal_error: str = "not connected yet"
    started_at: float = field(default_factory=time.time)

    def why_not_ready(self) -> str:
        """Why no work is taken now; empty: it is."""
        if not self.polling:
            return self.phase
        if not self.temporal_reachable:
            return f"Temporal does not answer at {self.temporal_address}"
        return ""

    def line(self) -> str:
        """All in one line, for `systemctl status`."""
        used = ", ".join(f"{kind} {self.watch.used[kind]}/{total}" for kind, total in self.watch.totals.items())
        return f"{self.why_not_ready() or self.phase}; slots used: {used}"

    def describe(self) -> dict[str, Any]:
        """What `/health` shows."""
        last = self.watch.last
        return {
            "schema": SCHEMA,
            "status": "ready" if not self.why_not_ready() else self.phase,
            "reason": self.why_not_ready(),
            "host": self.role.host,
            "pid": os.getpid(),
            "kind": self.role.kind,
            "identity": self.role.identity,
            "version": importlib.metadata.version("v2t"),
            "build_id": self.role.version,
            "versioned": self.role.versioned,
            "uptime_seconds": round(time.time() - self.started_at, 1),
            "queues": list(self.role.queues),
            "slots": {
                kind: {"total": total, "used": self.watch.used[kind]} for kind, total in self.watch.totals.items()
            },
            "engine": dataclasses.asdict(self.acceleration) if self.acceleration else None,
            "model": self.model,
            "last_task": dataclasses.asdict(last) if last else None,
            "tasks": dict(self.watch.outcomes),
            "cache": _cache_facts(),
            "temporal": {
                "address": self.temporal_address,
                "reachable": self.temporal_reachable,
                "error": self.temporal_error,
            },
        }


def _cache_facts() -> dict[str, Any]:
    """How full and how useful the cache is, from its metrics."""
    requests: dict[str, dict[str, int]] = {}
    for metric in REGISTRY.collect():
        for sample in metric.samples if metric.name == "v2t_cache_requests" else ():
            if sample.name.endswith("_total"):
                level = requests.setdefault(sample.labels["level"], {})
                level[sample.labels["outcome"]] = int(sample.value)
    return {"disk_bytes": int(REGISTRY.get_sample_value("v2t_cache_disk_bytes") or 0), "requests": requests}
