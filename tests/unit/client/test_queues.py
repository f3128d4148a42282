from __future__ import annotations

from v2t.client.queues import Poller, QueueFacts


def test_a_poller_that_was_not_seen_for_a_minute_has_gone() -> None:
    there, gone = Poller("m4-1:7:cpu", 941.0), Poller("m4-2:8:cpu", 940.0)
    assert QueueFacts("v2t-cpu", (there, gone), 0, 0.0).fresh_pollers(1000.0) == [there]
