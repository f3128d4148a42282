"""Which objects are copied again, and what is kept of them: the rules, without a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from minio.datatypes import Object

from v2t.cluster.backups.manifest import StoredObject, parse_object
from v2t.cluster.backups.objects import Cursor, Listed, content_problem, described, is_same
from v2t.domain.errors import StorageDamaged


def _stored(purpose: str, key: str, etag: str = "e") -> StoredObject:
    return StoredObject(purpose, key, 1, etag, "0" * 64)


def _listed(key: str, etag: str = "e", size: int = 1) -> Object:
    return Object("v2t-audio", key, datetime.now(UTC), etag, size)


def test_an_object_keeps_all_that_it_is_described_by() -> None:
    headers = {"etag": '"e-1"', "content-type": "audio/wav", "x-amz-meta-sha256": "ab", "x-amz-request-id": "1"}
    found = described("audio", "audio/ä\n", 3, "f" * 64, headers)
    assert found == StoredObject("audio", "audio/ä\n", 3, "e-1", "f" * 64, "audio/wav", {"sha256": "ab"})
    assert parse_object(found.to_line()) == found


def test_a_line_that_describes_no_object_is_damage() -> None:
    for line in ("", "{", "[]", '{"key": "a"}'):
        with pytest.raises(StorageDamaged):
            parse_object(line)


def test_earlier_objects_are_found_along_the_way() -> None:
    cursor = Cursor(iter([_stored("transcripts", "a"), _stored("transcripts", "c"), _stored("audio", "b")]))
    asked = [("transcripts", "a"), ("transcripts", "b"), ("transcripts", "c"), ("archive", "a"), ("audio", "b")]
    assert [bool(cursor.find(*each)) for each in asked] == [True, False, True, False, True]


def test_an_object_with_another_content_is_another() -> None:
    known = _stored("audio", "a", "one")
    assert is_same(known, _listed("a", '"one"'))
    assert not is_same(known, _listed("a", "two"))
    assert not is_same(known, _listed("a", "one", size=2))


def test_only_what_is_missing_or_differs_is_put_back() -> None:
    there = {"transcripts": [_listed("a"), _listed("b", "other"), _listed("x")], "audio": [_listed("d")]}

    def listing(purpose: str) -> Iterator[Object]:
        return iter(there[purpose])

    listed = Listed(listing)
    wanted = [_stored("transcripts", key) for key in "abc"] + [_stored("audio", "d")]
    assert [listed.has(each) for each in wanted] == [True, False, False, True]


def test_a_content_that_is_gone_or_changed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "content"
    wanted = StoredObject("audio", "audio/a", 4, "", hashlib.sha256(b"good").hexdigest())
    assert "audio/audio/a: its content" in content_problem(path, wanted)
    path.write_bytes(b"bad!")
    assert "is damaged" in content_problem(path, wanted)
    path.write_bytes(b"good")
    assert content_problem(path, wanted) == ""
