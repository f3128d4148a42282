"""TakeUpload: one upload becomes a job, exactly once for each content and parameters."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from v2t.activities.uploads import UploadActivities
    from v2t.domain.jobs import TranscribeRequest
    from v2t.domain.uploads import AdoptedUpload, UploadRequest
    from v2t.workflows.file_children import start_file
    from v2t.workflows.policies import HEARTBEAT_TIMEOUT, QUEUE, RETRY, STEP_TIMEOUT


@workflow.defn(name="TakeUpload")
class TakeUpload:
    """An upload on its way to its job. Its id is the upload's id."""

    @workflow.run
    async def run(self, request: UploadRequest) -> AdoptedUpload:
        """Adopt the content, start its job, and then let go of the upload.

        An upload that is gone, or whose content has changed since, ends this quietly: somebody
        else has taken it, or will take what lies there now.
        """
        adopted = await workflow.execute_activity_method(
            UploadActivities.adopt_upload,
            request,
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
        )
        if adopted.request:
            await self._start(adopted.request)
            await workflow.execute_activity_method(
                UploadActivities.release_upload,
                request.upload,
                task_queue=QUEUE,
                start_to_close_timeout=STEP_TIMEOUT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RETRY,
            )
        return adopted

    async def _start(self, request: TranscribeRequest) -> None:
        """Start the job; one that runs or has completed is the answer already, unless its transcript is gone."""
        abandon = workflow.ParentClosePolicy.ABANDON
        try:
            await start_file(request, on_parent_close=abandon)
        except WorkflowAlreadyStartedError:
            lost = await workflow.execute_activity_method(
                UploadActivities.is_lost,
                request.job_id,
                task_queue=QUEUE,
                start_to_close_timeout=STEP_TIMEOUT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RETRY,
            )
            if not lost:
                return
            try:
                await start_file(request, again=True, on_parent_close=abandon)
            except WorkflowAlreadyStartedError:
                return  # somebody was faster
