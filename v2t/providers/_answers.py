"""Reading what services answer: what stands where, why they refuse, when to come back."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus

from pydantic_core import from_json

_MAX_WAIT_SECONDS = 3600.0
_REASON_BYTES = 4096
_REASON_CHARACTERS = 200
_COMMON_REASONS = ("error.message", "error", "detail.message", "detail.0.msg", "detail", "message")
"""Where OpenAI, ElevenLabs, FastAPI and whisper.cpp write why they refuse."""


def find(document: object, path: str) -> object:
    """What stands at a path of keys and list positions with dots between, or None."""
    for part in path.split("."):
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
        else:
            return None
    return document


def find_reason(body: bytes, path: str = "") -> str:
    """What a service says of its failure: at `path`, at a common place, or as plain text; nothing from a web page."""
    try:
        document = from_json(body)
    except ValueError:
        text = body[:_REASON_BYTES].decode(errors="replace").strip()
        return "" if text.startswith("<") else text
    found = (find(document, place) for place in (path, *_COMMON_REASONS) if place)
    return next((reason for reason in found if isinstance(reason, str) and reason.strip()), "")


def retry_after_seconds(value: str, now: float) -> float:
    """How long a Retry-After (RFC 9110, section 10.2.3), seconds or a date, asks to wait; at most an hour."""
    try:
        wait = float(value) if value.strip().isdecimal() else parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return 0.0
    return min(max(wait, 0.0), _MAX_WAIT_SECONDS)


def plain(text: str) -> str:
    """What a service said as part of a message of ours: one short line without control characters."""
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= _REASON_CHARACTERS else text[: _REASON_CHARACTERS - 1] + "…"


def say_status(status: int) -> str:
    """What a status means, in HTTP's own words."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"
