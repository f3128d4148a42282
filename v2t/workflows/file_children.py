"""Jobs as children of other workflows: started once, or joined where they run already."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy

with workflow.unsafe.imports_passed_through():
    from v2t.domain.jobs import TranscribeRequest, TranscribeResult, with_size_class
    from v2t.domain.search import BATCH, USER
    from v2t.workflows.policies import QUEUE, priority_for
    from v2t.workflows.search import start_attributes
    from v2t.workflows.transcribe_file import TranscribeFile

FileHandle = workflow.ChildWorkflowHandle[TranscribeFile, TranscribeResult]

_SUMMARY_CHARACTERS = 100
_USER = SearchAttributeKey.for_keyword(USER)
_BATCH = SearchAttributeKey.for_keyword(BATCH)


async def start_file(
    request: TranscribeRequest, *, again: bool = False, on_parent_close: workflow.ParentClosePolicy
) -> FileHandle:
    """Start a job that does not run and has not completed.

    Args:
        request: determines the job's id.
        again: start also when it has completed: its transcript is gone.
        on_parent_close: what becomes of it when the workflow that starts it ends first.

    Raises:
        WorkflowAlreadyStartedError: it runs, or has completed.
    """
    return await workflow.start_child_workflow(
        TranscribeFile.run,
        with_size_class(request),
        id=request.job_id,
        task_queue=QUEUE,
        parent_close_policy=on_parent_close,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE
        if again
        else WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        priority=priority_for(request.user, request.priority),
        search_attributes=start_attributes(request),
        static_summary=_printable(request.audio.name),
    )


def owner_attributes(user: str, batch_id: str = "") -> TypedSearchAttributes:
    """By what an operator finds the work of a user and of a batch in Temporal's lists."""
    return TypedSearchAttributes([SearchAttributePair(_USER, user), SearchAttributePair(_BATCH, batch_id)])


def _printable(name: str) -> str:
    """A file's name as the wire can carry it."""
    return name[:_SUMMARY_CHARACTERS].encode(errors="replace").decode()
