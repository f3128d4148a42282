from __future__ import annotations

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, FailureConverter, PayloadConverter
from temporalio.exceptions import ActivityError, ApplicationError, RetryState

from v2t.client.failures import BriefFailures
from v2t.domain.errors import ProviderUnreachable

_LIMIT_BYTES = 4096


def of_a_deep_library(depth: int) -> Exception:
    """As an HTTP library raises it: several exceptions, each the cause of the next."""
    error: Exception = OSError("https://api.example.org/?key=sk-secret does not answer")
    for number in range(depth):
        error = raised(RuntimeError(f"call {number} failed " * 20), error)
    return error


def converted(error: BaseException, converter: type[FailureConverter] = BriefFailures) -> Failure:
    failure = Failure()
    converter().to_failure(error, PayloadConverter.default, failure)
    return failure


def raised(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_an_error_is_told_by_its_type_and_message_however_long_the_way_to_it_was() -> None:
    error = raised(ProviderUnreachable("openai does not answer"), of_a_deep_library(12))
    brief = converted(error)
    assert (brief.application_failure_info.type, brief.message) == ("ProviderUnreachable", "openai does not answer")
    assert brief.ByteSize() < _LIMIT_BYTES < converted(error, DefaultFailureConverter).ByteSize()
    assert "call" not in str(brief)
    assert "test_failures.py" in brief.stack_trace
    assert "sk-secret" not in str(brief)


def test_a_long_message_is_cut_between_characters() -> None:
    brief = converted(ProviderUnreachable("ж" * 4000))
    assert set(brief.message) == {"ж"}
    assert brief.ByteSize() < _LIMIT_BYTES


def test_what_a_step_failed_of_stays_behind_the_failure_of_its_workflow() -> None:
    step = ApplicationError("the key is wrong", type="CredentialsRefused", non_retryable=True)
    error = ActivityError(
        "activity failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="",
        activity_type="transcribe_chunk",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    failure = converted(raised(error, step))
    assert failure.cause.application_failure_info.type == "CredentialsRefused"
    assert failure.cause.application_failure_info.non_retryable
