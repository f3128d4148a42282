"""ApplyRetention: deletes and archives what is older than the policy allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from v2t.activities.retention import RetentionActivities
    from v2t.domain.retention import DAY_SECONDS, CutOff, RetentionCounts, RetentionPolicy
    from v2t.workflows.policies import HEARTBEAT_TIMEOUT, QUEUE, RETRY, STEP_TIMEOUT


@workflow.defn(name="ApplyRetention")
class ApplyRetention:
    """One application of the policy."""

    @workflow.run
    async def run(self, policy: RetentionPolicy) -> RetentionCounts:
        """Delete old jobs first, so that nothing is archived only to be deleted."""
        await workflow.execute_activity_method(
            RetentionActivities.prepare_records,
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
        )
        return RetentionCounts(
            jobs_deleted=await self._apply(RetentionActivities.delete_jobs, policy.delete_days),
            transcripts_archived=await self._apply(RetentionActivities.archive_transcripts, policy.archive_days),
            recordings_deleted=await self._apply(RetentionActivities.delete_recordings, policy.audio_days),
        )

    async def _apply(self, step: Callable[[Any, CutOff], Any], days: int) -> int:
        if not days:
            return 0
        count: int = await workflow.execute_activity_method(
            step,
            CutOff(workflow.now().timestamp() - days * DAY_SECONDS),
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
        )
        return count
