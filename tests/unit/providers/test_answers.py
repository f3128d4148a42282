from __future__ import annotations

import pytest

from v2t.providers._answers import find, find_reason, retry_after_seconds, say_status

NOON = 1_767_268_800.0
"""2026-01-01 12:00:00 UTC."""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b.1.c", 7),
        ("a", {"b": [{}, {"c": 7}]}),
        ("a.b.2", None),
        ("a.b.-1", None),
        ("a.b.x", None),
        ("a.b.1.c.d", None),
        ("z", None),
    ],
)
def test_a_path_leads_through_keys_and_positions(path: str, found: object) -> None:
    assert find({"a": {"b": [{}, {"c": 7}]}}, path) == found


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": {"message": "no such model", "code": 1}}', "no such model"),
        (b'{"error": "no file"}', "no file"),
        (b'{"detail": {"status": "invalid", "message": "no such voice"}}', "no such voice"),
        (b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "field required"),
        (b'{"detail": "not found"}', "not found"),
        (b'{"message": "limit exceeded"}', "limit exceeded"),
        (b'{"message": ""}', ""),
        (b'{"error": {"code": 7}}', ""),
        (b"File Not Found (/x)\n", "File Not Found (/x)"),
        (b"<html><body>nginx</body></html>", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
        (b"[" * 100_000, "[" * 4096),
    ],
)
def test_the_reason_of_a_refusal_is_found_where_services_write_it(body: bytes, reason: str) -> None:
    assert find_reason(body) == reason


def test_the_place_that_the_settings_name_comes_first() -> None:
    body = b'{"error": "failed", "status": {"text": "the disk is full"}}'
    assert find_reason(body, "status.text") == "the disk is full"
    assert find_reason(body, "status.none") == "failed"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("9" * 400, 3600.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 13:00:30 +0100", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2027 12:00:00 GMT", 3600.0),
        ("Fri, 99 Jan 2027 12:00:00 GMT", 0.0),
    ],
)
def test_when_to_come_back_is_said_in_seconds_or_as_a_date(value: str, seconds: float) -> None:
    assert retry_after_seconds(value, NOON) == seconds


def test_a_status_is_said_in_http_s_words() -> None:
    assert (say_status(404), say_status(799)) == ("Not Found", "no reason given")
