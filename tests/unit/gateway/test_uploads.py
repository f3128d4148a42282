from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.batches import UploadRef
from v2t.domain.errors import UsageError
from v2t.gateway.uploads import parse_notification


def record(key: str, *, event: str = "s3:ObjectCreated:Put", bucket: str = "v2t-audio") -> dict[str, Any]:
    thing = {"key": quote_plus(key), "size": 7, "eTag": "d41d8", "sequencer": "1"}
    return {"eventName": event, "s3": {"bucket": {"name": bucket}, "object": thing}}


def parse(*records: dict[str, Any]) -> tuple[UploadRef, ...]:
    return parse_notification(json.dumps({"EventName": "x", "Key": "y", "Records": records}).encode(), "v2t-audio")


def test_a_dropped_file_becomes_a_reference() -> None:
    (upload,) = parse(record("incoming/ada/a.wav"))
    assert upload == UploadRef("incoming/ada/a.wav", 7, "d41d8")
    assert (upload.user, upload.name) == ("ada", "a.wav")


@pytest.mark.parametrize(
    "key",
    [
        "incoming/ada/two words+plus.wav",
        "incoming/ada/50%.wav",
        "incoming/ada/%2e%2e.wav",
        "incoming/ада/речь.wav",
        "incoming/ada/'; rm -rf.wav",
        "incoming/a.wav",
    ],
)
def test_names_arrive_as_they_were_given(key: str) -> None:
    assert parse(record(key))[0].key == key


def test_one_message_may_tell_of_several_files() -> None:
    assert [upload.name for upload in parse(record("incoming/a/1.wav"), record("incoming/a/2.wav"))] == [
        "1.wav",
        "2.wav",
    ]


@pytest.mark.parametrize("event", ["s3:ObjectRemoved:Delete", "s3:ObjectAccessed:Get", "s3:TestEvent"])
def test_other_events_are_left_out(event: str) -> None:
    assert parse(record("incoming/a/1.wav", event=event)) == ()


@pytest.mark.parametrize("event", ["ObjectCreated:CompleteMultipartUpload", "s3:ObjectCreated:Copy"])
def test_every_way_to_create_an_object_counts(event: str) -> None:
    assert len(parse(record("incoming/a/1.wav", event=event))) == 1


@pytest.mark.parametrize("key", ["audio/0000", "incoming", "incoming/ada/", "other/incoming/a.wav", "incoming/a\n.wav"])
def test_other_keys_are_left_out(key: str) -> None:
    assert parse(record(key)) == ()


def test_another_bucket_is_left_out() -> None:
    assert parse(record("incoming/a/1.wav", bucket="other")) == ()


@pytest.mark.parametrize("body", [b"{}", b'{"Records": []}', b'{"Records": null}', b'{"Event": "s3:TestEvent"}'])
def test_a_test_message_has_no_uploads(body: bytes) -> None:
    assert parse_notification(body, "v2t-audio") == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"Records": [3]}',
        b'{"Records": [{}]}',
        b'{"Records": "x"}',
        b'{"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": null}]}',
        b"[" * 100_000,
    ],
)
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError, match="not a notification"):
        parse_notification(body, "v2t-audio")


def test_a_key_in_a_broken_encoding_is_refused() -> None:
    broken = record("x")
    broken["s3"]["object"]["key"] = "incoming%2F%FF.wav"
    with pytest.raises(UsageError):
        parse(broken)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Records", "s3", "bucket", "object", "key", "name", "eventName"]), inner)
    ),
    max_leaves=20,
)


@given(json_values)
def test_whatever_comes_is_read_or_refused(document: Any) -> None:
    with contextlib.suppress(UsageError):
        parse_notification(json.dumps(document).encode(), "v2t-audio")
