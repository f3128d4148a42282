"""SweepUploads: takes in the uploads whose notification was lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from v2t.activities.uploads import UploadActivities
    from v2t.domain.uploads import SweepRequest, UploadRequest
    from v2t.workflows.file_children import owner_attributes
    from v2t.workflows.policies import HEARTBEAT_TIMEOUT, QUEUE, RETRY, STEP_TIMEOUT, priority_for
    from v2t.workflows.take_upload import TakeUpload


@workflow.defn(name="SweepUploads")
class SweepUploads:
    """A search of the store for uploads, a page a run."""

    @workflow.run
    async def run(self, request: SweepRequest) -> int:
        """Start TakeUpload for each upload that lies there; says how many, of the last page."""
        page = await workflow.execute_activity_method(
            UploadActivities.find_uploads,
            request,
            task_queue=QUEUE,
            start_to_close_timeout=STEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
        )
        uploads = (UploadRequest(upload, request.options, tags=request.tags) for upload in page.uploads)
        await asyncio.gather(*map(self._start, uploads))
        if page.more:
            workflow.continue_as_new(replace(request, after=page.uploads[-1].key))
        return len(page.uploads)

    async def _start(self, request: UploadRequest) -> None:
        try:
            await workflow.start_child_workflow(
                TakeUpload.run,
                request,
                id=request.upload.upload_id,
                task_queue=QUEUE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                # One that has ended left its upload behind, or the upload has come back: it does no harm twice.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                priority=priority_for(request.upload.user, request.priority),
                search_attributes=owner_attributes(request.upload.user),
            )
        except WorkflowAlreadyStartedError:
            return  # its notification has come
