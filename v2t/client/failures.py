"""How an exception crosses to Temporal: with its type and message, and not with all that led to it."""

from __future__ import annotations

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter

_MESSAGE_BYTES = 2000
_STACK_BYTES = 1200
"""Temporal keeps 4 KiB of an activity's failure (history.mutableStateActivityFailureSizeLimit.error). A longer one it
replaces by "Failure exceeds size limit", and then nobody knows what failed."""


class BriefFailures(DefaultFailureConverter):
    """Leaves out the exceptions of libraries behind one of ours; the worker's log has them.

    A library's exception brings its own causes, each with its stack, and words that nobody has looked at for secrets.
    """

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """See FailureConverter."""
        super().to_failure(exception, payload_converter, failure)
        failure.message = failure.message.encode(errors="replace")[:_MESSAGE_BYTES].decode(errors="ignore")
        failure.stack_trace = failure.stack_trace.encode(errors="replace")[-_STACK_BYTES:].decode(errors="ignore")
        if failure.HasField("application_failure_info"):
            failure.ClearField("cause")
