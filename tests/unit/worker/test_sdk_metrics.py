from __future__ import annotations

from v2t.process.ports import LOOPBACK, free_port
from v2t.worker.sdk_metrics import read_metrics


def test_metrics_that_nobody_shows_are_none() -> None:
    assert read_metrics(f"{LOOPBACK}:{free_port()}") == ""
