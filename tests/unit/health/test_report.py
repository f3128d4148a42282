from __future__ import annotations

import pytest

from v2t.domain.errors import ConfigurationError, StorageError, StoreUnreachable
from v2t.health import HealthReport, Part
from v2t.health.report import broken, fine, reason_of, weak


def report(*parts: Part) -> HealthReport:
    return HealthReport(parts, 0.1)


def test_all_fine() -> None:
    assert report(fine("a", "x", required=True)).error is None


def test_a_weak_part_is_no_obstacle() -> None:
    assert report(weak("a", "x", "y", required=True), broken("b", StorageError, "x", "y")).can_transcribe


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ((StorageError,), 1),
        ((ConfigurationError, StorageError), 3),
        ((StorageError, ConfigurationError, StoreUnreachable), 5),
    ],
)
def test_a_lost_connection_decides_before_settings_before_the_rest(kinds: tuple[type, ...], code: int) -> None:
    error = report(*(broken(kind.__name__, kind, "x", "y", required=True) for kind in kinds)).error
    assert error
    assert error.exit_code == code
    assert all(kind.__name__ in error.message for kind in kinds)


def test_the_last_words_of_a_chain_of_errors() -> None:
    error = RuntimeError("while connecting")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert reason_of(error) == "Connection refused"
    assert reason_of(ValueError()) == "ValueError"
