"""Names of queues, timeouts and retry policies, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import unsafe

with unsafe.imports_passed_through():
    from v2t.domain.errors import NOT_RETRYABLE

QUEUE = "v2t"
"""Workflows, cutting, merging, bookkeeping."""

CPU_QUEUE = "v2t-cpu"
"""Engines that compute on processors."""

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""A worker that is gone is noticed within this time: activities beat every second."""

STEP_TIMEOUT = timedelta(hours=6)
"""For steps whose liveness the heartbeat shows: only a bound against the absurd."""

RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=20),
    # Each loss of a worker costs an attempt as well, so this is far above what a bad chunk needs.
    maximum_attempts=10,
    non_retryable_error_types=list(NOT_RETRYABLE),
)

CHUNKS_IN_FLIGHT = 200
"""Pending activities a workflow keeps at most; Temporal advises at most 500."""

FIRST_WINDOW_SECONDS = 120.0
WINDOW_GROWTH = 4.0
"""The first window gives every slot of a small machine a chunk at once; as later windows decode the
part before them again, each is four times as long as the one before."""

GROUPS_A_RUN = 400
"""Groups of a batch before its workflow goes on in a new run: each costs about ten events of the 10 240
at which Temporal begins to warn."""
