from __future__ import annotations

import pytest

from v2t.domain.errors import UsageError
from v2t.domain.tags import parse_tags


def test_tags_keep_their_order_and_are_there_once() -> None:
    assert parse_tags(["interview", "2026-11", "访谈", "interview", "a" * 40]) == (
        "interview",
        "2026-11",
        "访谈",
        "a" * 40,
    )


@pytest.mark.parametrize("tag", ["", " ", "two words", "Interview", "a,b", "line\n", "a" * 41, "\x1b[2J", "ÄRZTE"])
def test_what_is_no_tag_is_refused_by_name(tag: str) -> None:
    with pytest.raises(UsageError, match="is no tag; a tag is a word of at most 40 small letters") as raised:
        parse_tags(["court", tag])
    assert repr(tag) in raised.value.message


def test_a_job_has_at_most_sixteen_tags() -> None:
    assert len(parse_tags(map(str, range(16)))) == 16
    with pytest.raises(UsageError, match="17 tags are too many"):
        parse_tags(map(str, range(17)))
