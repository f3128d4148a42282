from __future__ import annotations

from pathlib import Path

from v2t.domain.batches import FileOutcome, encode_outcomes, report_key
from v2t.domain.errors import EmptyInput, InputNotFound
from v2t.domain.jobs import JobState, TranscribeOptions
from v2t.gathering.batch import Plan, gather, outcomes_of
from v2t.gathering.finding import Recording
from v2t.testing import MemoryObjectStore

PLAN = Plan(TranscribeOptions(model="tiny"), "ada", 2, ("court",))


def recordings(folder: Path, **contents: str) -> list[Recording]:
    for name, content in contents.items():
        (folder / f"{name}.wav").write_text(content)
    return [Recording(folder / f"{name}.wav") for name in contents]


async def test_only_what_is_absent_is_uploaded(tmp_path: Path) -> None:
    store, seen = MemoryObjectStore(), []
    files = recordings(tmp_path, a="speech", b="more speech", c="speech")
    gathering = await gather(store, files, PLAN, on_bytes=lambda done, total: seen.append((done, total)))
    assert sorted(map(store.get_bytes, store.list_keys("audio/"))) == [b"more speech", b"speech"]
    assert seen[-1] == (23, 23)
    assert [item.name for item in gathering.items.values()] == ["a.wav", "b.wav"]
    twins = next(iter(gathering.recordings.values()))
    assert [recording.name for recording in twins] == ["a.wav", "c.wav"]
    requests = [item.request for item in gathering.items.values() if item.request]
    assert {(request.user, request.priority, request.tags) for request in requests} == {("ada", 2, ("court",))}


async def test_bad_files_are_told_and_stop_nothing(tmp_path: Path) -> None:
    files = [*recordings(tmp_path, a="speech", b=""), Recording(tmp_path / "gone.wav")]
    gathering = await gather(MemoryObjectStore(), files, PLAN, on_bytes=lambda _done, _total: None)
    assert len(gathering.items) == 1
    assert [(name, type(error)) for name, error in gathering.failures] == [
        ("b.wav", EmptyInput),
        ("gone.wav", InputNotFound),
    ]


async def test_every_file_has_its_outcome_also_twins_and_files_that_were_not_begun(tmp_path: Path) -> None:
    store = MemoryObjectStore()
    files = recordings(tmp_path, a="one", b="one", c="two")
    gathering = await gather(store, files, PLAN, on_bytes=lambda _done, _total: None)
    first = next(iter(gathering.items))
    store.put_bytes(report_key("b-1"), encode_outcomes([FileOutcome("a.wav", JobState.COMPLETED, first)]))
    found = {recording.name: outcome.state for recording, outcome in outcomes_of(store, gathering, "b-1")}
    assert found == {"a.wav": JobState.COMPLETED, "b.wav": JobState.COMPLETED, "c.wav": JobState.CANCELLED}
