"""When one provider has failed: whether the next one is asked, and what is said where there is none left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from v2t.activities.steps import TRIES
    from v2t.domain.errors import ProvidersExhausted, ProviderUnreachable, may_be_the_providers
    from v2t.domain.jobs import Choice, Failure
    from v2t.workflows.served import was_late

_Answer = TypeVar("_Answer")


class Chain:
    """The providers of a job, one after the other. Who failed for good once is asked by none of its chunks again.

    Args:
        plan: whom to ask.
        failures: of those that were asked before.
    """

    def __init__(self, plan: Sequence[Choice] = (), failures: Sequence[Failure] = ()) -> None:
        self._plan = tuple(plan)
        self._given_up: set[Choice] = set()
        self._failures = list(failures)

    @property
    def failures(self) -> Sequence[Failure]:
        """Of those that were given up."""
        return self._failures

    async def ask(self, attempt: Callable[[Choice, int], Awaitable[_Answer]]) -> _Answer:
        """Have one provider after the other make an attempt, until one answers.

        Args:
            attempt: told whom to ask, and how often it may fail; 0: nobody is left to be asked after it.

        Raises:
            ActivityError: of a failure that is not the provider's, or of the only provider.
            ApplicationError: all have failed.
        """
        for place, choice in enumerate(self._plan):
            if choice in self._given_up:
                continue
            others = [other for other in self._plan[place + 1 :] if other not in self._given_up]
            began = workflow.now()
            try:
                return await attempt(choice, TRIES if others else 0)
            except ActivityError as error:
                failure = _failure_of(choice, error)
                if failure is None or (len(self._plan) == 1 and not self._failures):
                    raise
                if choice not in self._given_up:
                    self._given_up.add(choice)
                    seconds = (workflow.now() - began).total_seconds()
                    self._failures.append(replace(failure, seconds=seconds))
        told = "; ".join(map(str, self._failures))
        raise ApplicationError(f"every provider failed. {told}", type=ProvidersExhausted.__name__, non_retryable=True)


def _failure_of(choice: Choice, error: ActivityError) -> Failure | None:
    """What a provider failed of; None where another one would fare no better."""
    cause = error.cause
    if was_late(error):
        worker = f"{choice.workers} worker".strip()
        return Failure(choice.provider, ProviderUnreachable.__name__, f"no {worker} was free in time")
    if isinstance(cause, ApplicationError) and may_be_the_providers(cause.type or ""):
        return Failure(choice.provider, cause.type or "", cause.message)
    return None
