from __future__ import annotations

from typing import Any

import pytest

from v2t.cluster.upgrades import Change, changes_of, plan_rollback
from v2t.domain.errors import UsageError


def worker(release: str, *older: str, then: str = "c") -> dict[str, Any]:
    return {
        "installed": {},
        "locked": {"minio": "v2"},
        "release": release,
        "locked_release": then,
        "older_releases": list(older),
    }


def server(**installed: str) -> dict[str, Any]:
    locked = {"minio": "v2", "temporal": "v1.31.2"}
    return {"installed": installed, "locked": locked, "release": "", "locked_release": "", "older_releases": []}


def test_only_what_differs_changes_and_only_where_it_is_installed() -> None:
    found = {"m4-1": worker("b"), "m2": server(minio="v1", temporal="v1.31.2", other="v9"), "m4-2": worker("c", "b")}

    assert changes_of(found) == (Change("m2", "minio", "v1", "v2"), Change("m4-1", "v2t", "b", "c"))


def test_a_host_without_a_release_gets_one() -> None:
    assert changes_of({"m4-1": worker("")}) == (Change("m4-1", "v2t", "", "c"),)


def test_each_worker_goes_back_to_what_it_had_last() -> None:
    found = {"m2": server(), "m4-1": worker("c", "a", "b"), "m4-2": worker("c", "a")}

    assert plan_rollback(found, {}) == {"m4-1": "b", "m4-2": "a"}


def test_a_rollback_that_broke_off_is_gone_on_with_and_goes_no_further_back() -> None:
    found = {"m4-1": worker("b", "a"), "m4-2": worker("c", "a", "b")}

    assert plan_rollback(found, {"m4-1": "b", "m4-2": "b"}) == {"m4-2": "b"}


def test_after_a_whole_rollback_the_next_goes_further_back() -> None:
    found = {"m4-1": worker("b", "a"), "m4-2": worker("b", "a")}

    assert plan_rollback(found, {"m4-1": "b", "m4-2": "b"}) == {"m4-1": "a", "m4-2": "a"}


def test_a_host_without_an_older_release_cannot_go_back() -> None:
    with pytest.raises(UsageError, match="m4-3 has no release from before c"):
        plan_rollback({"m4-1": worker("c", "b"), "m4-3": worker("c")}, {})


def test_hosts_without_workers_cannot_go_back() -> None:
    with pytest.raises(UsageError, match="none of these hosts"):
        plan_rollback({"m2": server()}, {})


def test_a_release_that_is_named_must_be_there() -> None:
    found = {"m4-1": worker("c", "a", "b")}

    assert plan_rollback(found, {}, "a") == {"m4-1": "a"}
    with pytest.raises(UsageError, match="has no release x to go back to; it has a, b from before c"):
        plan_rollback(found, {}, "x")
