from __future__ import annotations

import pytest

from v2t.domain.workers import WorkerIdentity


def test_an_identity_is_what_its_text_says() -> None:
    identity = WorkerIdentity("m4-1", "17", "gpu")
    assert str(identity) == "m4-1:17:gpu"
    assert WorkerIdentity.parse(str(identity)) == identity


@pytest.mark.parametrize("text", ["17@m4-1", ""])
def test_a_client_that_is_no_worker_has_no_kind(text: str) -> None:
    assert WorkerIdentity.parse(text) == WorkerIdentity(text)
