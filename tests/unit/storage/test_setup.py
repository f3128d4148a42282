from __future__ import annotations

from typing import Any, cast

import pytest
from minio.error import S3Error
from minio.notificationconfig import NotificationConfig

from v2t.domain.errors import ConfigurationError
from v2t.storage import setup

TARGET = "arn:minio:sqs::v2t:webhook"
BUCKET = "v2t-audio"


class JustStarted:
    """A store that knows its targets of notifications only after some refusals."""

    def __init__(self, refusals: float, code: str = "InvalidArgument") -> None:
        self.refusals, self.code = refusals, code
        self.announced_to: list[str] = []

    def get_bucket_notification(self, _bucket: str) -> NotificationConfig:
        return NotificationConfig()

    def set_bucket_notification(self, _bucket: str, config: NotificationConfig) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise S3Error(cast("Any", None), self.code, "no such target", None, None, None)
        self.announced_to = [str(entry.queue) for entry in config.queue_config_list]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "_POLL_SECONDS", 0.001)
    monkeypatch.setattr(setup, "_TARGET_SECONDS", 0.05)


def announce(store: JustStarted) -> list[str]:
    return list(setup._notification(cast("Any", store), BUCKET, TARGET))


def test_a_store_that_has_just_started_is_waited_for_until_it_knows_the_target() -> None:
    store = JustStarted(refusals=3)
    assert announce(store) == [f"set v2t-audio/incoming/ to be announced to {TARGET}"]
    assert store.announced_to == [TARGET]


def test_a_target_that_stays_unknown_is_named() -> None:
    with pytest.raises(ConfigurationError, match=f"{TARGET}; configure it there"):
        announce(JustStarted(refusals=float("inf")))


def test_other_refusals_are_not_waited_for() -> None:
    store = JustStarted(refusals=1, code="AccessDenied")
    with pytest.raises(S3Error):
        announce(store)
    assert store.announced_to == []
