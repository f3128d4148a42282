"""Tags: words that a job carries for the rules, checked where they come in."""

from __future__ import annotations

import re
from collections.abc import Iterable

from v2t.domain.errors import UsageError

_TAG = re.compile(r"[\w.-]{1,40}")
_MOST_TAGS = 16


def parse_tags(words: Iterable[str]) -> tuple[str, ...]:
    """Tags as a job carries them, each once, in their order.

    Raises:
        UsageError: one of them is no tag, or there are more than 16.
    """
    tags = tuple(dict.fromkeys(words))
    for tag in tags:
        if not _TAG.fullmatch(tag) or tag != tag.lower():
            raise UsageError(f"{tag!r} is no tag; a tag is a word of at most 40 small letters, digits, '.', '_' or '-'")
    if len(tags) > _MOST_TAGS:
        raise UsageError(f"{len(tags)} tags are too many; a job has at most {_MOST_TAGS}")
    return tags
