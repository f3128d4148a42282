from __future__ import annotations

from v2t.worker.sdk_metrics import free_address, read_metrics


def test_metrics_that_nobody_shows_are_none() -> None:
    assert read_metrics(free_address()) == ""
