from __future__ import annotations

import pytest

from v2t.config import Settings
from v2t.domain.errors import UsageError
from v2t.domain.jobs import AudioRef, TranscribeOptions, TranscribeRequest
from v2t.gathering.batch import Plan
from v2t.gathering.buckets import bucket_prefix, gather_objects
from v2t.testing import MemoryObjectStore

PLAN = Plan(TranscribeOptions(), "ada", 2, ("court",))


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("s3://v2t-audio", "incoming/"),
        ("s3://v2t-audio/", "incoming/"),
        ("s3://v2t-audio/incoming/ada/", "incoming/ada/"),
        ("s3://v2t-audio/audio/ab", "audio/ab"),
    ],
)
def test_an_address_is_a_prefix_of_keys(address: str, prefix: str) -> None:
    assert bucket_prefix(Settings(), address) == prefix


@pytest.mark.parametrize(
    "address", ["s3://", "s3://other/incoming/", "s3://v2t-audio/b-1/", "s3://v2t-audio/incoming2"]
)
def test_other_places_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="s3://v2t-audio/"):
        bucket_prefix(Settings(), address)


def test_uploads_and_recordings_become_items() -> None:
    store = MemoryObjectStore()
    for key in ("incoming/ada/x/a.wav", "incoming/ada/notes.txt", "incoming/bob/b.wav", "audio/00ff"):
        store.put_bytes(key, key.encode())
    gathering, ignored = gather_objects(store, "incoming/ada/", PLAN)
    ((identity, item),) = gathering.items.items()
    assert (item.name, ignored) == ("a.wav", 1)
    assert item.upload
    assert item.upload.key == "incoming/ada/x/a.wav"
    assert [recording.name for recording in gathering.recordings[identity]] == ["x/a.wav"]
    stored, _ = gather_objects(store, "audio/", PLAN)
    (item,) = stored.items.values()
    assert item.request
    assert item.request == TranscribeRequest(AudioRef("00ff", 10, "00ff"), PLAN.options, "ada", 2, tags=("court",))
