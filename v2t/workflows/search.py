"""The search attributes that jobs set: who asked when they start, what came out when they end."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

with workflow.unsafe.imports_passed_through():
    from v2t.domain.jobs import JobState, TranscribeRequest, TranscribeResult
    from v2t.domain.search import AUDIO_SECONDS, BATCH, LANGUAGE, PROVIDER, STATUS, USER

_USER = SearchAttributeKey.for_keyword(USER)
_BATCH = SearchAttributeKey.for_keyword(BATCH)
_PROVIDER = SearchAttributeKey.for_keyword(PROVIDER)
_LANGUAGE = SearchAttributeKey.for_keyword(LANGUAGE)
_STATUS = SearchAttributeKey.for_keyword(STATUS)
_AUDIO_SECONDS = SearchAttributeKey.for_float(AUDIO_SECONDS)


def start_attributes(request: TranscribeRequest) -> TypedSearchAttributes:
    """What whoever starts a job gives it."""
    return TypedSearchAttributes(
        [SearchAttributePair(_USER, request.user), SearchAttributePair(_BATCH, request.batch_id)]
    )


def say_completed(result: TranscribeResult) -> None:
    """Set the running job's attributes at its good end."""
    if _is_searchable():
        workflow.upsert_search_attributes(
            [
                _STATUS.value_set(JobState.COMPLETED.value),
                _PROVIDER.value_set(result.provider),
                _LANGUAGE.value_set(result.language),
                _AUDIO_SECONDS.value_set(result.duration_seconds),
            ]
        )


def say_ended(request: TranscribeRequest, state: JobState, audio_seconds: float) -> None:
    """Set the running job's attributes at an end without a transcript."""
    if _is_searchable():
        workflow.upsert_search_attributes(
            [
                _STATUS.value_set(state.value),
                _PROVIDER.value_set(request.options.provider),
                _LANGUAGE.value_set(request.options.language),
                _AUDIO_SECONDS.value_set(audio_seconds),
            ]
        )


def _is_searchable() -> bool:
    """Jobs started by versions before search attributes must replay without them, and need no marker to know."""
    return workflow.info().typed_search_attributes.get(_USER) is not None
