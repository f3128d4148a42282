"""What an examination finds: parts, and what they mean for the whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from v2t.domain.errors import ERRORS, V2TError


class Status(StrEnum):
    """How a part is."""

    OK = "ok"
    DEGRADED = "degraded"  # jobs are done, but slower, or with less safety
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the system, as it was found."""

    name: str
    status: Status
    summary: str  # one line
    next_step: str = ""  # what to do, where it is not ok
    required: bool = False  # nothing can be transcribed without it
    code: str = ""  # the wire name of the error, where it failed
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """All parts."""

    parts: tuple[Part, ...]
    seconds: float  # that it took

    @property
    def obstacles(self) -> tuple[Part, ...]:
        """The parts without which nothing can be transcribed now."""
        return tuple(part for part in self.parts if part.required and part.status == Status.FAILED)

    @property
    def can_transcribe(self) -> bool:
        """Whether a file that is given now would be transcribed."""
        return not self.obstacles

    @property
    def error(self) -> V2TError | None:
        """What a command ends with: a connection first, then the settings, then anything else."""
        if self.can_transcribe:
            return None
        kinds = [ERRORS.get(part.code, V2TError) for part in self.obstacles]
        worst = max(kinds, key=lambda kind: kind.exit_code)
        names = " and ".join(part.name for part in self.obstacles)
        return worst(f"Nothing can be transcribed now: {names}.")

    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "can_transcribe": self.can_transcribe,
            "seconds": round(self.seconds, 3),
            "parts": [asdict(part) for part in self.parts],
        }


def fine(name: str, summary: str, *, required: bool = False, **facts: Any) -> Part:
    """A part that is as it should be."""
    return Part(name, Status.OK, summary, required=required, facts=facts)


def weak(name: str, summary: str, next_step: str, *, required: bool = False, **facts: Any) -> Part:
    """A part that does less than it should."""
    return Part(name, Status.DEGRADED, summary, next_step, required=required, facts=facts)


def broken(
    name: str, error: V2TError | type[V2TError], summary: str, next_step: str, *, required: bool = False, **facts: Any
) -> Part:
    """A part that does not work; `error` decides the exit code."""
    code = error.code if isinstance(error, V2TError) else error.__name__
    return Part(name, Status.FAILED, summary, next_step, required=required, code=code, facts=facts)


def reason_of(error: BaseException) -> str:
    """The last words of a chain of errors, short."""
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    error = causes[-1]
    text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    return text.splitlines()[0][:120]
