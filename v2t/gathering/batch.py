"""Batches: name and store the recordings, submit, follow, report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from v2t import deployment
from v2t.domain.batches import BatchItem, FileOutcome, decode_group
from v2t.domain.errors import ClusterUnreachable, JobCancelled, JobNotFound, V2TError
from v2t.domain.jobs import DEFAULT_PRIORITY, DEFAULT_USER, JobState, TranscribeOptions, TranscribeRequest
from v2t.gathering.finding import Recording
from v2t.submission import identify

if TYPE_CHECKING:
    from v2t.client.batches import BatchView
    from v2t.config import Settings
    from v2t.domain.ports import ObjectStore
    from v2t.standalone import Cluster

_UPLOADS_AT_ONCE = 4
_OWNER_CHANGES = 5

OnBytes = Callable[[int, int], None]
OnBatch = Callable[["BatchView"], None]


@dataclass(slots=True)
class Gathering:
    """A batch in the making: what is to be submitted, and which files each item stands for.

    Files of the same content are one item.
    """

    items: dict[str, BatchItem] = field(default_factory=dict)  # by identity
    recordings: dict[str, list[Recording]] = field(default_factory=dict)  # by identity
    failures: list[tuple[str, V2TError]] = field(default_factory=list)

    def add(self, item: BatchItem, recording: Recording) -> None:
        """One more file."""
        self.items.setdefault(item.identity, item)
        self.recordings.setdefault(item.identity, []).append(recording)

    def keep(self, keys: Collection[str]) -> None:
        """Only the objects with these keys."""
        self.items = {identity: item for identity, item in self.items.items() if _key(item) in keys}

    def join(self, other: Gathering) -> None:
        """All files of another one too."""
        for identity, item in other.items.items():
            for recording in other.recordings[identity]:
                self.add(item, recording)
        self.failures += other.failures


@dataclass(frozen=True, slots=True)
class Plan:
    """How the files of a batch are to be transcribed."""

    options: TranscribeOptions
    user: str = DEFAULT_USER
    priority: int = DEFAULT_PRIORITY
    tags: tuple[str, ...] = ()


def _key(item: BatchItem) -> str:
    return item.upload.key if item.upload else item.request.audio.key if item.request else ""


async def gather(store: ObjectStore, recordings: Sequence[Recording], plan: Plan, *, on_bytes: OnBytes) -> Gathering:
    """Name each recording by its content and put into the store what is not there yet, some at a time.

    Args:
        store: the cluster's.
        recordings: local files.
        plan: how they are to be transcribed.
        on_bytes: told how many bytes, of how many, are there; from any thread.
    """
    gathering = Gathering()
    total = sum(map(_size, recordings))
    done: dict[Path, int] = {}
    slots = asyncio.Semaphore(_UPLOADS_AT_ONCE)

    def report(recording: Recording, bytes_done: int) -> None:
        done[recording.path] = bytes_done
        on_bytes(sum(list(done.values())), total)

    async def take(recording: Recording) -> TranscribeRequest | V2TError:
        async with slots:
            try:
                return await asyncio.to_thread(_deliver, store, recording, plan, partial(report, recording))
            except V2TError as error:
                return error

    answers = await asyncio.gather(*(take(recording) for recording in recordings))
    # In the order of the recordings: the name of a batch must not depend on which of two twins was read first.
    for recording, answer in zip(recordings, answers, strict=True):
        if isinstance(answer, V2TError):
            gathering.failures.append((recording.name, answer))
        else:
            gathering.add(BatchItem(answer.audio.name, answer.audio.size_bytes, answer), recording)
    return gathering


def _deliver(
    store: ObjectStore, recording: Recording, plan: Plan, on_bytes: Callable[[int], None]
) -> TranscribeRequest:
    request = replace(identify(recording.path, plan.options, plan.user, plan.priority), tags=plan.tags)
    if not store.exists(request.audio.key):
        store.put_file(request.audio.key, recording.path, on_bytes=on_bytes)
    on_bytes(request.audio.size_bytes)
    return request


def _size(recording: Recording) -> int:
    try:
        return recording.path.stat().st_size
    except OSError:  # its failure is told when it is read
        return 0


async def submit(settings: Settings, cluster: Cluster, gathering: Gathering, plan: Plan) -> str:
    """Start the batch, or join it where it runs; says its id."""
    from v2t.client.batches import submit_batch

    return await submit_batch(
        cluster.client,
        cluster.store,
        gathering.items.values(),
        plan.options,
        user=plan.user,
        priority=plan.priority,
        groups_in_flight=settings.batch.groups_in_flight,
        tags=plan.tags,
    )


async def follow(
    settings: Settings, options: TranscribeOptions, cluster: Cluster, batch_id: str, *, on_view: OnBatch
) -> None:
    """Wait until a batch has ended, however often the process that runs an embedded cluster changes.

    Args:
        settings: which cluster.
        options: whose engine an embedded cluster loads ahead.
        cluster: where the batch runs now.
        batch_id: which batch.
        on_view: told how it stands, every two seconds.

    Raises:
        JobNotFound: no such batch.
        V2TError: how it ended, where it was neither completed nor cancelled.
    """
    if await _ended(cluster, batch_id, on_view):
        return
    for _ in range(_OWNER_CHANGES):
        async with deployment.open_cluster(settings, provider=options.provider, model=options.model) as again:
            if await _ended(again, batch_id, on_view):
                return
    raise ClusterUnreachable


async def _ended(cluster: Cluster, batch_id: str, on_view: OnBatch) -> bool:
    from v2t.client.batches import batch_result

    if not await _watch(cluster, batch_id, on_view):
        return False
    with suppress(JobCancelled):  # the report tells what was done before
        await batch_result(cluster.client, batch_id)
    return True


async def _watch(cluster: Cluster, batch_id: str, on_view: OnBatch) -> bool:
    """Whether the batch has ended; false where the process that ran the cluster did before."""
    watcher = asyncio.create_task(_show(cluster, batch_id, on_view))
    lost = asyncio.create_task(cluster.lost.wait())
    try:
        await asyncio.wait({watcher, lost}, return_when=asyncio.FIRST_COMPLETED)
        if not watcher.done():
            return False
        try:
            watcher.result()
        except ClusterUnreachable:
            if cluster.owned or cluster.remote:
                raise
            return False
        return True
    finally:
        for task in (watcher, lost):
            task.cancel()
        await asyncio.gather(watcher, lost, return_exceptions=True)


async def _show(cluster: Cluster, batch_id: str, on_view: OnBatch) -> None:
    from v2t.client.batches import watch_batch

    async for view in watch_batch(cluster.client, batch_id):
        on_view(view)


def outcomes_of(store: ObjectStore, gathering: Gathering, batch_id: str) -> Iterator[tuple[Recording, FileOutcome]]:
    """How each file of a batch that has ended did."""
    from v2t.client.batches import iterate_report

    left = {identity: list(gathering.recordings[identity]) for identity in gathering.items}
    by_name: dict[str, list[str]] = {}
    for identity, item in gathering.items.items():
        by_name.setdefault(item.name, []).append(identity)
    for outcome in iterate_report(store, batch_id):
        identity = outcome.job_id if outcome.job_id in left else _by_name(by_name, left, outcome.name)
        for recording in left.pop(identity, []):
            yield recording, outcome
    for identity, recordings in left.items():
        missing = FileOutcome(gathering.items[identity].name, JobState.CANCELLED, error_message="it was not begun")
        for recording in recordings:
            yield recording, missing


def _by_name(by_name: dict[str, list[str]], left: dict[str, list[Recording]], name: str) -> str:
    """The item of an upload, whose job was not known when it was gathered."""
    return next((identity for identity in by_name.get(name, []) if identity in left), "")


async def submit_again(settings: Settings, cluster: Cluster, batch_id: str) -> None:
    """Start a batch that has ended once more, from its stored groups.

    Raises:
        JobNotFound: its groups are not in the store.
    """
    from v2t.client.batches import submit_batch

    keys = await asyncio.to_thread(cluster.store.list_keys, f"{batch_id}/groups/")
    if not keys:
        raise JobNotFound(f"The files of {batch_id} are not known any more; run `v2t batch` on them again.")
    groups = [decode_group(await asyncio.to_thread(cluster.store.get_bytes, key)) for key in keys]
    await submit_batch(
        cluster.client,
        cluster.store,
        [item for group in groups for item in group.items],
        groups[0].options,
        user=groups[0].user,
        priority=groups[0].priority,
        groups_in_flight=settings.batch.groups_in_flight,
        tags=groups[0].tags,
    )
