from __future__ import annotations

from v2t.client.queues import Poller, QueueFacts


def test_a_poller_that_was_not_seen_for_longer_than_a_poll_lasts_has_gone() -> None:
    there, gone = Poller("m4-1:7:cpu", 926.0), Poller("m4-2:8:cpu", 925.0)
    assert QueueFacts("v2t-cpu", (there, gone), 0, 0.0).fresh_pollers(1000.0) == [there]
