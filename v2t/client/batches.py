"""Submit, follow, cancel batches; take in uploads; schedules; nothing above this module knows Temporal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from itertools import count, islice

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from v2t.client.connection import as_v2t_error, patiently
from v2t.client.jobs import Client
from v2t.client.running import as_state
from v2t.domain.batches import (
    GROUPS_A_RUN,
    BatchGroup,
    BatchItem,
    BatchProgress,
    BatchRequest,
    BatchResult,
    BatchTotals,
    FileOutcome,
    UploadRef,
    batch_id,
    decode_outcome,
    encode_group,
    group_by_size,
    group_id,
    group_key,
    report_key,
)
from v2t.domain.jobs import DEFAULT_PRIORITY, DEFAULT_USER, JobState, TranscribeOptions
from v2t.domain.ports import ObjectStore
from v2t.domain.uploads import UploadRequest
from v2t.workflows.file_children import owner_attributes
from v2t.workflows.policies import QUEUE, priority_for
from v2t.workflows.take_upload import TakeUpload
from v2t.workflows.transcribe_batch import TranscribeBatch
from v2t.workflows.transcribe_group import TranscribeGroup

Handle = WorkflowHandle[TranscribeBatch, BatchResult]
GroupHandle = WorkflowHandle[TranscribeGroup, BatchTotals]

_GROUPS_WRITTEN_AT_ONCE = 16
_QUERY_TIMEOUT = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch as Temporal sees it now. Times are Unix seconds, 0 where not reached."""

    batch_id: str
    state: JobState
    created_at: float
    finished_at: float
    progress: BatchProgress | None = None  # None where no worker answers


async def submit_batch(
    client: Client,
    store: ObjectStore,
    items: Iterable[BatchItem],
    options: TranscribeOptions,
    *,
    user: str = DEFAULT_USER,
    priority: int = DEFAULT_PRIORITY,
    groups_in_flight: int = 8,
    tags: tuple[str, ...] = (),
) -> str:
    """Store the groups of a batch and start it, or join the same batch where it runs already.

    A batch that has ended starts anew; of its files, those without a transcript are worked on.

    Args:
        client: the cluster.
        store: where the groups go; the recordings of the items' requests stand there already.
        items: the files; the same ones in another order are the same batch.
        options: for the uploads among them.
        user: who asks.
        priority: 1, the most urgent, to 5.
        groups_in_flight: how many groups are worked on at once.
        tags: of the uploads among the files; the requests of the others have theirs.

    Returns:
        The batch's id.
    """
    files = sorted(items, key=lambda item: (item.name, item.identity))
    batch = batch_id(files, options, user)
    ours = (_owned(item, batch, user, priority) for item in files)
    template = BatchGroup(0, (), options, user, priority, tags)
    groups = await _store_groups(store, batch, ours, template)
    request = BatchRequest(batch, groups, len(files), user, priority, groups_in_flight, GROUPS_A_RUN)
    try:
        await client.temporal.start_workflow(
            TranscribeBatch.run,
            request,
            id=batch,
            task_queue=QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            priority=priority_for(user, priority),
            search_attributes=owner_attributes(user, batch),
        )
    except RPCError as error:
        raise as_v2t_error(error) from error
    return batch


async def take_upload(
    client: Client,
    upload: UploadRef,
    options: TranscribeOptions,
    *,
    priority: int = DEFAULT_PRIORITY,
    tags: tuple[str, ...] = (),
) -> None:
    """See that an upload becomes a job; as often as this is called, it becomes one."""
    try:
        await client.temporal.start_workflow(
            TakeUpload.run,
            UploadRequest(upload, options, priority, tags=tags),
            id=upload.upload_id,
            task_queue=QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            priority=priority_for(upload.user, priority),
            search_attributes=owner_attributes(upload.user),
        )
    except RPCError as error:
        raise as_v2t_error(error) from error


async def batch_progress(client: Client, batch_id: str) -> BatchProgress | None:
    """How far a batch is; None where no worker answers. Raises JobNotFound."""
    return (await describe_batch(client, batch_id)).progress


async def describe_batch(client: Client, batch_id: str) -> BatchView:
    """State and progress of a batch. Raises JobNotFound."""
    description = await patiently(_handle(client, batch_id).describe, batch_id)
    return BatchView(
        batch_id=batch_id,
        state=as_state(description.status),
        created_at=description.start_time.timestamp(),
        finished_at=description.close_time.timestamp() if description.close_time else 0.0,
        progress=await _progress(client, batch_id),
    )


async def _progress(client: Client, batch_id: str) -> BatchProgress | None:
    """How far a batch is, with the files that have ended in groups that have not."""
    try:
        progress = await _handle(client, batch_id).query(TranscribeBatch.progress, rpc_timeout=_QUERY_TIMEOUT)
    except (WorkflowQueryFailedError, RPCError):
        return None
    running = await asyncio.gather(*(_group_totals(client, group_id(batch_id, each)) for each in progress.running))
    return replace(progress, totals=reduce(BatchTotals.plus, running, progress.totals))


async def _group_totals(client: Client, group: str) -> BatchTotals:
    handle: GroupHandle = client.temporal.get_workflow_handle_for(TranscribeGroup.run, group)
    try:
        return await handle.query(TranscribeGroup.progress, rpc_timeout=_QUERY_TIMEOUT)
    except (WorkflowQueryFailedError, RPCError):  # not begun yet
        return BatchTotals()


async def watch_batch(client: Client, batch_id: str, *, every_seconds: float = 2.0) -> AsyncIterator[BatchView]:
    """Views of a running batch until it has ended; the last one shows how."""
    while True:
        view = await describe_batch(client, batch_id)
        yield view
        if view.state != JobState.RUNNING:
            return
        await asyncio.sleep(every_seconds)


async def batch_result(client: Client, batch_id: str) -> BatchResult:
    """Wait for a batch to end.

    Raises:
        JobNotFound: no such batch.
        JobCancelled: it was cancelled; its report tells what was finished before.
        V2TError: the error that it ended with.
    """
    try:
        return await patiently(_handle(client, batch_id).result, batch_id)
    except WorkflowFailureError as error:
        raise as_v2t_error(error) from error


async def cancel_batch(client: Client, batch_id: str) -> None:
    """Ask a batch to stop; jobs that others have started too go on. Raises JobNotFound."""
    try:
        await _handle(client, batch_id).cancel()
    except RPCError as error:
        raise as_v2t_error(error, batch_id) from error


async def pause_batch(client: Client, batch_id: str, *, paused: bool = True) -> None:
    """Begin no further group of a batch, or go on. Raises JobNotFound."""
    try:
        await _handle(client, batch_id).signal(TranscribeBatch.pause if paused else TranscribeBatch.resume)
    except RPCError as error:
        raise as_v2t_error(error, batch_id) from error


async def prioritise_batch(client: Client, batch_id: str, priority: int) -> None:
    """Give what a batch has not begun yet another priority, 1 to 5. Raises JobNotFound."""
    try:
        await _handle(client, batch_id).signal(TranscribeBatch.set_priority, priority)
    except RPCError as error:
        raise as_v2t_error(error, batch_id) from error


async def list_batches(client: Client, *, limit: int = 50) -> list[BatchView]:
    """The newest batches that Temporal still knows."""
    try:
        found = client.temporal.list_workflows("WorkflowType = 'TranscribeBatch'", limit=limit)
        return [
            BatchView(
                item.id,
                as_state(item.status),
                item.start_time.timestamp(),
                item.close_time.timestamp() if item.close_time else 0.0,
            )
            async for item in found
            if item.status != WorkflowExecutionStatus.CONTINUED_AS_NEW
        ]
    except RPCError as error:
        raise as_v2t_error(error) from error


def iterate_report(store: ObjectStore, batch_id: str) -> Iterator[FileOutcome]:
    """How each file of a batch that has ended did. Raises ObjectMissing where there is no report yet."""
    with store.open_file(report_key(batch_id)) as path, path.open("rb") as report:
        yield from map(decode_outcome, report)


def _owned(item: BatchItem, batch: str, user: str, priority: int) -> BatchItem:
    if item.request is None:
        return item
    return replace(item, request=replace(item.request, batch_id=batch, user=user, priority=priority))


async def _store_groups(store: ObjectStore, batch: str, items: Iterable[BatchItem], template: BatchGroup) -> int:
    """Write the groups, each the template with its own files, some at a time; says how many there are."""
    numbers = count()
    groups = group_by_size(items)
    stored = 0
    while some := list(islice(groups, _GROUPS_WRITTEN_AT_ONCE)):
        numbered = [replace(template, index=next(numbers), items=files) for files in some]
        await asyncio.gather(
            *(
                asyncio.to_thread(store.put_bytes, group_key(batch, group.index), encode_group(group))
                for group in numbered
            )
        )
        stored += len(numbered)
    return stored


def _handle(client: Client, batch_id: str) -> Handle:
    return client.temporal.get_workflow_handle_for(TranscribeBatch.run, batch_id)
