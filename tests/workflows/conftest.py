from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from support.cluster import temporal_server
from temporalio.common import RetryPolicy

from v2t.workflows import policies, transcribe_file


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Temporal server of this test process."""
    with temporal_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> RetryPolicy:
    """The real policy with fewer attempts and less waiting."""
    policy = RetryPolicy(
        initial_interval=timedelta(milliseconds=10),
        maximum_interval=timedelta(milliseconds=10),
        maximum_attempts=3,
        non_retryable_error_types=policies.RETRY.non_retryable_error_types,
    )
    monkeypatch.setattr(transcribe_file, "RETRY", policy)
    return policy
