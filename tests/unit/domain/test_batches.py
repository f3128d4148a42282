from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.batches import (
    BatchGroup,
    BatchItem,
    BatchTotals,
    FileOutcome,
    GroupOutcomes,
    UploadRef,
    batch_id,
    decode_group,
    decode_outcome,
    encode_group,
    encode_outcomes,
    group_by_size,
)
from v2t.domain.jobs import AudioRef, JobState, TranscribeOptions, TranscribeRequest
from v2t.domain.uploads import adoption_key, decode_audio, encode_audio

MEGABYTE = 1024 * 1024
OPTIONS = TranscribeOptions(model="small", language="de")


def item(name: str, size_bytes: int = 1) -> BatchItem:
    return BatchItem(name, size_bytes, TranscribeRequest(AudioRef(name, size_bytes, name), OPTIONS, batch_id="b-x"))


@pytest.mark.parametrize(
    ("size_bytes", "together"),
    [
        (0, 20),
        (10 * MEGABYTE - 1, 20),
        (10 * MEGABYTE, 10),
        (50 * MEGABYTE - 1, 10),
        (50 * MEGABYTE, 5),
        (10**12, 5),
    ],
)
def test_how_many_files_make_a_group_depends_on_their_size(size_bytes: int, together: int) -> None:
    groups = list(group_by_size([item(str(number), size_bytes) for number in range(together * 2 + 1)]))
    assert [len(group) for group in groups] == [together, together, 1]


@given(st.lists(st.integers(0, 80 * MEGABYTE), max_size=200))
def test_every_file_is_in_exactly_one_group(sizes: list[int]) -> None:
    items = [item(str(number), size) for number, size in enumerate(sizes)]
    grouped = Counter(each.name for group in group_by_size(items) for each in group)
    assert grouped == Counter(each.name for each in items)


def test_a_batch_is_named_by_its_files_parameters_and_user_in_any_order() -> None:
    items = [item(str(number)) for number in range(5)]
    name = batch_id(items, OPTIONS, "ada")
    assert name.startswith("b-")
    assert len(name) == 28
    assert batch_id(random.Random(1).sample(items, 5), OPTIONS, "ada") == name
    assert batch_id(items, OPTIONS, "bob") != name
    assert batch_id(items, TranscribeOptions(), "ada") != name
    assert batch_id(items[:4], OPTIONS, "ada") != name


def test_a_group_is_read_as_it_was_written() -> None:
    upload = UploadRef("incoming/ada/ü.wav", 7, "etag")
    tagged = item("b.wav")
    assert tagged.request
    tagged = replace(tagged, request=replace(tagged.request, tags=("court", "press")))
    files = (item("a.wav"), tagged, BatchItem("ü.wav", 7, upload=upload))
    group = BatchGroup(3, files, OPTIONS, "ada", 1, ("court",))
    assert decode_group(encode_group(group)) == group


def test_a_group_from_before_there_were_tags_is_read() -> None:
    group = BatchGroup(3, (item("a.wav"),), OPTIONS)
    document = json.loads(encode_group(group))
    del document["tags"], document["items"][0]["request"]["tags"]
    assert decode_group(json.dumps(document).encode()) == group


def test_outcomes_are_read_as_they_were_written_one_a_line() -> None:
    outcomes = (
        FileOutcome("a\nb.wav", JobState.COMPLETED, "t-a", 1.5, 3, "t-a/transcript.json"),
        FileOutcome("\udcff.wav", JobState.FAILED, error_code="NotAudio", error_message="no"),
    )
    lines = encode_outcomes(outcomes).splitlines()
    assert tuple(map(decode_outcome, lines)) == outcomes


def test_totals_count_states_and_seconds() -> None:
    states = [JobState.COMPLETED, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED]
    outcomes = tuple(FileOutcome("a", state, audio_seconds=1.5) for state in states)
    totals = GroupOutcomes("b-x", 0, outcomes).totals
    assert totals == BatchTotals(2, 1, 1, 6.0)
    assert totals.plus(totals).files == 8


def test_an_upload_is_named_by_its_key_and_content() -> None:
    first, second, third = (
        UploadRef("incoming/a", 1, "x"),
        UploadRef("incoming/a", 1, "y"),
        UploadRef("incoming/b", 1, "x"),
    )
    assert len({first.upload_id, second.upload_id, third.upload_id}) == 3
    assert adoption_key(first) == f"uploads/{first.upload_id}.json"


def test_the_note_of_an_adoption_is_read_as_it_was_written() -> None:
    audio = AudioRef("0" * 64, 5, "ü\udcff.wav")
    assert decode_audio(encode_audio(audio)) == audio
