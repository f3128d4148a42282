"""Names of queues, priorities, timeouts and retry policies, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from temporalio.common import Priority, RetryPolicy
from temporalio.workflow import unsafe

with unsafe.imports_passed_through():
    from v2t.domain.errors import NOT_RETRYABLE

QUEUE = "v2t"
"""Workflows, cutting, merging, bookkeeping."""

CPU_QUEUE = "v2t-cpu"
"""Engines that compute on processors."""

GPU_QUEUE = "v2t-gpu"
"""Engines that compute on graphics cards."""

MEMORY_QUEUE = "v2t-memory"
"""Engines whose models need much memory."""

REMOTE_QUEUE = "v2t-remote"
"""Providers that are asked over the network."""

KIND_QUEUES = {"cpu": CPU_QUEUE, "gpu": GPU_QUEUE, "memory": MEMORY_QUEUE, "remote": REMOTE_QUEUE}
"""Kind of workers → their queue."""

COMPUTING_QUEUES = {
    "cpu": (CPU_QUEUE,),
    "gpu": (GPU_QUEUE, CPU_QUEUE),
    "memory": (MEMORY_QUEUE, CPU_QUEUE),
    "remote": (REMOTE_QUEUE,),
}
"""Kind of worker → the queues it computes for, its own first.

Graphics cards and large memories also do what any processor could, so that they are never idle while others wait and
a cluster of them alone does every job. A remote worker computes nothing itself.
"""

KIND_WAIT = timedelta(minutes=1)
"""How long a step waits for workers of a kind where another provider could do it."""

SERVED_WAIT = timedelta(minutes=10)
"""How long a step waits at most in a provider's queue before it looks again whether workers serve that."""

HOST_QUEUE_WAIT = timedelta(seconds=10)
"""How long a step waits for the machine that has its files before it goes to any other."""

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""A worker that is gone is noticed within this time: activities beat every second."""

STEP_TIMEOUT = timedelta(hours=6)
"""For steps whose liveness the heartbeat shows: only a bound against the absurd."""

RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(minutes=1),
    # A server may be away for an hour and a half. What is not a server's absence gives up earlier, by itself.
    maximum_attempts=100,
    non_retryable_error_types=list(NOT_RETRYABLE),
)

LINGER_SECONDS = 0.05
"""How long a group leaves its workflow task open for each file under way, once something has happened to one."""

CHUNKS_IN_FLIGHT = 200
"""Pending activities a workflow keeps at most; Temporal advises at most 500."""

FIRST_WINDOW_SECONDS = 120.0
WINDOW_GROWTH = 4.0
"""The first window gives every slot of a small machine a chunk at once; as later windows decode the
part before them again, each is four times as long as the one before."""

PRIORITIES = range(1, 6)
"""From the most urgent to the least."""

_FAIRNESS_KEY_BYTES = 64  # Temporal's limit


def host_queue(host: str) -> str:
    """The queue of one machine, for steps that find their files on its disk."""
    return f"v2t-host-{host}"


def provider_queue(provider: str, workers: str = "") -> str:
    """The queue of the calls of a provider on another machine, so that it can have limits of its own.

    Args:
        provider: its name.
        workers: the kind that is to ask it; only remote workers are told from the others.
    """
    return f"{REMOTE_QUEUE if workers == 'remote' else CPU_QUEUE}-{provider}"


def provider_queues(provider: str) -> tuple[str, str]:
    """Both queues of a provider: that of remote workers, and that of all others while there are none."""
    return provider_queue(provider, "remote"), provider_queue(provider)


def priority_for(user: str, priority: int) -> Priority:
    """Urgent steps first, and among equally urgent ones each user in turn.

    Args:
        user: whose step it is.
        priority: 1, the most urgent, to 5.
    """
    return Priority(
        priority_key=priority, fairness_key=user.encode()[:_FAIRNESS_KEY_BYTES].decode(errors="ignore") or None
    )
