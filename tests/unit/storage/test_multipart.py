from __future__ import annotations

import inspect
import io

import pytest
from minio import Minio
from minio.datatypes import ListMultipartUploadsResult, ListPartsResult, Part, Upload

from v2t.storage.multipart import part_size, read_part

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("_create_multipart_upload", ["self", "bucket_name", "object_name", "headers"]),
        ("_upload_part", ["self", "bucket_name", "object_name", "data", "headers", "upload_id", "part_number"]),
        ("_complete_multipart_upload", ["self", "bucket_name", "object_name", "upload_id", "parts", "ssec"]),
        ("_abort_multipart_upload", ["self", "bucket_name", "object_name", "upload_id"]),
    ],
)
def test_the_private_methods_of_the_sdk_are_as_they_were(method: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(Minio, method)).parameters) == parameters


def test_the_private_listings_of_the_sdk_are_as_they_were() -> None:
    parts = inspect.signature(Minio._list_parts).parameters
    assert list(parts)[:4] == ["self", "bucket_name", "object_name", "upload_id"]
    assert "part_number_marker" in parts
    uploads = inspect.signature(Minio._list_multipart_uploads).parameters
    assert list(uploads)[:2] == ["self", "bucket_name"]
    assert "prefix" in uploads
    assert {"parts", "is_truncated", "next_part_number_marker"} <= set(ListPartsResult.__dataclass_fields__)
    assert "uploads" in ListMultipartUploadsResult.__dataclass_fields__
    assert {"object_name", "upload_id", "initiated_time"} <= set(Upload.__dataclass_fields__)
    assert {"part_number", "etag", "size"} <= set(Part.__dataclass_fields__)


def test_parts_are_of_the_wished_size_while_ten_thousand_hold_the_file() -> None:
    assert part_size(10_000 * 16 * MEBIBYTE, 16 * MEBIBYTE) == 16 * MEBIBYTE
    assert part_size(10_000 * 16 * MEBIBYTE + 1, 16 * MEBIBYTE) == 17 * MEBIBYTE


def test_a_part_is_whole_though_the_file_gives_less_at_a_time() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(3, size or 0))

    assert read_part(Slow(b"0123456789"), 8) == b"01234567"
    assert read_part(Slow(b"0123"), 8) == b"0123"
