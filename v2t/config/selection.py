"""The section of settings that says which provider is asked for which file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from v2t.config.machine import Section
from v2t.domain.selection import DEFAULT_CHAIN, Rule


def _from_commas(value: object) -> object:
    """A list as it is, or from a string with commas, which is how the environment can hold one."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_from_commas)]


class RuleSettings(BaseModel):
    """A rule as a file holds it; the fields are those of domain.selection.Rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    provider: str = Field(min_length=1)
    model: str = ""
    workers: Literal["", "cpu", "gpu", "memory", "remote"] = ""
    priority: int = 50
    larger_than_mb: float = Field(default=0.0, ge=0)
    smaller_than_mb: float = Field(default=0.0, ge=0)
    longer_than_minutes: float = Field(default=0.0, ge=0)
    shorter_than_minutes: float = Field(default=0.0, ge=0)
    languages: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    job_priorities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = ()

    def as_rule(self) -> Rule:
        """For the plan."""
        return Rule(**self.model_dump())


class SelectionSettings(Section):
    """Which providers are asked for a file, and in which order.

    Rules stand in the file as `[[selection.rules]]`; docs/providers.md shows them.
    """

    chain: Names = Field(
        default=DEFAULT_CHAIN,
        min_length=1,
        description="Providers asked one after the other, behind the one that a rule names; those not set up are not.",
        examples=[["local", "whisper_server"]],
    )
    monthly_dollars: float = Field(
        default=0.0,
        ge=0,
        description="What a user may spend in a month (UTC) on providers that cost money; 0: there is no limit.",
        examples=[25.0],
    )
    default_rules: bool = Field(default=True, description="Look at v2t's own four rules as well.", examples=[False])
    rules: tuple[RuleSettings, ...] = Field(default=(), description="Rules of your own; in a file only.", examples=[[]])

    @field_validator("rules", mode="before")
    @classmethod
    def _stand_in_a_file(cls, value: object) -> object:
        if isinstance(value, str) and value:
            raise ValueError("rules stand in a file, as [[selection.rules]]")
        return value or ()
