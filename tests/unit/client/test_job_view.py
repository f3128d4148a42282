from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowExecutionStatus
from temporalio.converter import DataConverter

from v2t.client.jobs import _view
from v2t.domain.jobs import Progress, Stage


async def computing(*heartbeat: float) -> Any:
    """A running job with one step that computes and has told this."""
    step = SimpleNamespace(
        state=PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
        activity_type=SimpleNamespace(name="transcribe_small"),
        heartbeat_details=SimpleNamespace(payloads=await DataConverter.default.encode(heartbeat)),
        attempt=1,
        last_failure=SimpleNamespace(message=""),
    )
    return SimpleNamespace(
        id="t-1",
        status=WorkflowExecutionStatus.RUNNING,
        start_time=datetime.now(UTC),
        close_time=None,
        data_converter=DataConverter.default,
        raw_description=SimpleNamespace(pending_activities=[step]),
    )


@pytest.mark.parametrize(
    ("heartbeat", "known", "shown"),
    [((3.0, 10.0), 0.0, 10.0), ((3.0, 10.0), 20.0, 20.0), ((3.0,), 0.0, 0.0)],
    ids=["a small file", "a file whose length the workflow knows", "a worker of before, which tells no length"],
)
async def test_how_far_a_step_is_comes_from_its_heartbeat(
    heartbeat: tuple[float, ...], known: float, shown: float
) -> None:
    view = await _view(cast(Any, await computing(*heartbeat)), Progress(Stage.TRANSCRIBING, known, 0.0, 0, 0))
    assert view.running_seconds == 3.0
    assert view.progress is not None
    assert view.progress.duration_seconds == shown
