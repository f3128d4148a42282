from __future__ import annotations

import time

from v2t.client.queues import Poller, QueueFacts
from v2t.health import Part, Status
from v2t.health.temporal_parts import _judge_queue, _judge_workers, _show_worker, _workers

NOW = time.time()


def queue(name: str, *identities: str, backlog: int = 0, seen: float = 1.0) -> QueueFacts:
    return QueueFacts(name, tuple(Poller(identity, NOW - seen, "1.2") for identity in identities), backlog, 3.0)


def judge(*queues: QueueFacts) -> Part:
    workers = _workers(queues, NOW)
    return _judge_workers(workers, {name for worker in workers for name in worker.queues})


def test_workers_are_counted_by_kind() -> None:
    part = judge(queue("v2t", "m1:1:cpu", "m1:2:gpu"), queue("v2t-cpu", "m1:1:cpu"), queue("v2t-gpu", "m1:2:gpu"))
    assert (part.status, part.summary) == (Status.OK, "2 at work: 1 cpu, 1 gpu")


def test_nobody_works() -> None:
    part = judge(queue("v2t"), queue("v2t-cpu"))
    assert (part.status, part.required) == (Status.FAILED, True)
    assert "v2t worker run" in part.next_step


def test_somebody_must_compute_and_somebody_keep_books() -> None:
    assert judge(queue("v2t", "m1:1:remote")).status == Status.FAILED
    assert judge(queue("v2t"), queue("v2t-cpu", "m1:1:cpu")).status == Status.FAILED


def test_who_has_not_polled_for_long_is_gone() -> None:
    assert judge(queue("v2t", "m1:1:cpu", seen=200), queue("v2t-cpu", "m1:1:cpu", seen=200)).status == Status.FAILED


def test_waiting_steps_that_nobody_takes_are_told() -> None:
    part = _judge_queue(queue("v2t-gpu", backlog=4), set())
    assert (part.status, part.summary) == (Status.DEGRADED, "0 workers, 4 waiting, the oldest 3 s")
    assert "worker.kind = gpu" in part.next_step


def test_an_idle_queue_without_workers_is_fine() -> None:
    assert _judge_queue(queue("v2t-gpu"), set()).status == Status.OK


def test_a_long_backlog_is_told() -> None:
    assert _judge_queue(queue("v2t-cpu", "m1:1:cpu", backlog=500), {"v2t-cpu"}).status == Status.DEGRADED


def test_a_worker_has_a_line() -> None:
    (worker,) = _workers([queue("v2t", "m1:17:cpu")], NOW)
    part = _show_worker(worker, NOW)
    assert (part.name, part.summary) == ("worker m1:17", "cpu, seen 1 s ago, version 1.2")


def test_calls_of_a_provider_that_nobody_takes_are_told_with_the_worker_that_is_missing() -> None:
    part = _judge_queue(queue("v2t-remote-openai", backlog=4), set(), "openai")
    assert part.next_step == "start a remote worker whose settings have openai"
    part = _judge_queue(queue("v2t-cpu-openai", backlog=4), set(), "openai")
    assert part.next_step == "start a worker whose settings have openai"


def test_calls_that_wait_for_the_limit_of_a_provider_call_for_no_worker() -> None:
    part = _judge_queue(queue("v2t-cpu-openai", "m1:1:cpu", backlog=500), {"v2t-cpu-openai"}, "openai")
    assert part.next_step == "a limit of openai may hold them back; the files wait their turn"
