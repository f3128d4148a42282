"""The section of settings that says which provider is asked for which file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from v2t.config.lists import (
    Formats,
    Languages,
    Priorities,
    ProviderName,
    Providers,
    ProvidersOrCommas,
    Tags,
    Words,
)
from v2t.config.machine import Section
from v2t.domain.selection import DEFAULT_CHAIN, Rule


def _unblank(name: str) -> str:
    if not name.strip():
        raise ValueError("it is empty")
    return name


Above = Annotated[float, Field(ge=0)]
Below = Annotated[float, Field(gt=0)]
"""A limit of 0 would say nothing: what is not set is left out."""


class RuleSettings(BaseModel):
    """A rule as a file holds it; the fields are those of domain.selection.Rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: Annotated[str, AfterValidator(_unblank)]
    provider: ProviderName
    model: str = ""
    workers: Literal["", "cpu", "gpu", "memory", "remote"] = ""
    priority: int = 50
    larger_than_mb: Above = 0.0
    smaller_than_mb: Below = 0.0
    longer_than_minutes: Above = 0.0
    shorter_than_minutes: Below = 0.0
    languages: Languages = ()
    formats: Formats = ()
    users: Words = ()
    job_priorities: Priorities = ()
    tags: Tags = ()
    healthy: Providers = ()
    unhealthy: Providers = ()
    max_dollars: Below = 0.0
    budget_left_above_dollars: Above = 0.0

    @model_validator(mode="after")
    def _can_hold(self) -> RuleSettings:
        """A rule that no file can meet is a mistake."""
        for over, under in (("larger_than_mb", "smaller_than_mb"), ("longer_than_minutes", "shorter_than_minutes")):
            if 0 < getattr(self, under) <= getattr(self, over):
                raise ValueError(f"{over} is not below {under}, so no file meets both")
        if both := set(self.healthy) & set(self.unhealthy):
            raise ValueError(f"{min(both)} cannot be both healthy and unhealthy")
        if self.provider in self.unhealthy:
            raise ValueError(f"{self.provider} is not asked first while it is unhealthy")
        return self

    def as_rule(self) -> Rule:
        """For the plan."""
        return Rule(**self.model_dump())


class SelectionSettings(Section):
    """Which providers are asked for a file, and in which order.

    Rules stand in the file as `[[selection.rules]]`; docs/providers.md shows them.
    """

    chain: ProvidersOrCommas = Field(
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
    detect_language: bool = Field(
        default=False,
        description="Listen to a file's beginning where no language was given and a rule looks at it.",
        examples=[True],
    )
    rules: tuple[RuleSettings, ...] = Field(default=(), description="Rules of your own; in a file only.", examples=[[]])

    @field_validator("rules", mode="before")
    @classmethod
    def _stand_in_a_file(cls, value: object) -> object:
        if isinstance(value, str) and value:
            raise ValueError("rules stand in a file, as [[selection.rules]]")
        return value or ()

    @field_validator("rules")
    @classmethod
    def _fit_together(cls, rules: tuple[RuleSettings, ...], info: ValidationInfo) -> tuple[RuleSettings, ...]:
        """No two of one name, and none that asks for more than a month's budget."""
        budget = info.data.get("monthly_dollars", 0.0)
        names: list[str] = []
        for place, rule in enumerate(rules):
            if rule.name in names:
                _refuse(rules, place, "name", f"rule {names.index(rule.name) + 1} has this name too")
            if 0 < budget <= rule.budget_left_above_dollars:
                message = f"so much is never left of selection.monthly_dollars, which is {budget:g}"
                _refuse(rules, place, "budget_left_above_dollars", message)
            names.append(rule.name)
        return rules


def _refuse(rules: Sequence[RuleSettings], place: int, key: str, message: str) -> None:
    """Raise what pydantic raises for a key of one of the rules, which by itself it cannot compare with others."""
    error = PydanticCustomError("rule", "{message}", {"message": message})
    raise ValidationError.from_exception_data(
        "rules", [InitErrorDetails(type=error, loc=(place, key), input=getattr(rules[place], key))]
    )
