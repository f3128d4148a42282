"""What the object store says when a recording is dropped into it.

The format is Amazon's event message, which MinIO sends too
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote_plus

from v2t.domain.batches import UploadRef
from v2t.domain.errors import UsageError
from v2t.domain.uploads import INCOMING

_CREATED = "ObjectCreated:"


def parse_notification(body: bytes, bucket: str) -> tuple[UploadRef, ...]:
    """The uploads that a notification is about.

    Records of other events, buckets and keys are left out: a store may be set up to tell of more than we asked for.

    Args:
        body: the message, as it came.
        bucket: where uploads lie.

    Raises:
        UsageError: it is no such message.
    """
    try:
        document = json.loads(body)
        records = document.get("Records") or []  # a test message has none
        found = [_parse_record(record, bucket) for record in records]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise UsageError(f"not a notification of an object store: {type(error).__name__}") from error
    return tuple(upload for upload in found if upload)


def _parse_record(record: dict[str, Any], bucket: str) -> UploadRef | None:
    event, s3 = str(record["eventName"]), record["s3"]
    if not event.removeprefix("s3:").startswith(_CREATED) or s3["bucket"]["name"] != bucket:
        return None
    thing = s3["object"]
    key = unquote_plus(thing["key"], errors="strict")
    if not key.startswith(INCOMING) or key.endswith("/"):  # some clients keep empty objects for folders
        return None
    if not key.isprintable():
        return None  # nobody could name it; the sweep tells of it where the store lists it
    return UploadRef(key, int(thing.get("size", 0)), str(thing["eTag"]).strip('"'))
