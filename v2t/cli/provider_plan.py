"""`v2t providers explain`."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from v2t.cli.output import Result, as_table, returns_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v2t.config import Settings
    from v2t.domain.selection import Facts, Plan


@click.command("explain")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-l", "--language", default="", help="Language that would be given.")
@click.option("--translate", is_flag=True, help="As if a translation were asked for.")
@click.option("--priority", type=click.IntRange(1, 5), default=3, show_default=True, help="Priority of the job.")
@click.option("--user", default="", help="As if this user asked. [default: you]")
@click.option("--max-cost", type=click.FloatRange(min=0, min_open=True), help="US dollars it may cost.")
@click.option("--minutes", type=click.FloatRange(min=0), default=0.0, help="Its length, for rules that look at it.")
@returns_result
def command(
    file: Path, language: str, translate: bool, priority: int, user: str, max_cost: float | None, minutes: float
) -> Result:
    """Show whom the rules and the chain choose for FILE, in which order, and why.

    It goes by the settings of this machine; nothing is sent anywhere. On a cluster the workers' settings decide.

    \b
    Examples:
      v2t providers explain lecture.mp4
      v2t providers explain 讲座.mp3 --language zh --json
    """
    from v2t import wiring
    from v2t.config import load_settings
    from v2t.planning import Planner, describe_providers, kinds_of_cluster

    settings = load_settings()
    facts = _facts(settings, file, language, user, priority, minutes, translate=translate)
    if max_cost:
        facts = replace(facts, dollars=max_cost)
    planner = Planner(settings, kinds_of_cluster(settings), wiring.open_breakers(settings))
    plan = asyncio.run(planner.plan(facts))
    prices = {provider.name: provider.dollars_per_minute for provider in describe_providers(settings)}
    return Result(data=_plan_data(facts, plan, prices), lines=_explanation(facts, plan, prices))


def _facts(
    settings: Settings, file: Path, language: str, user: str, priority: int, minutes: float, *, translate: bool
) -> Facts:
    from v2t.cli.transcribe import user_of
    from v2t.domain.jobs import TranscribeOptions
    from v2t.domain.languages import parse_language
    from v2t.domain.selection import facts_of
    from v2t.submission import identify

    options = TranscribeOptions(language=parse_language(language), translate=translate)
    return facts_of(identify(file, options, user or user_of(settings), priority), minutes * 60)


def _explanation(facts: Facts, plan: Plan, prices: Mapping[str, float]) -> list[str]:
    """Facts, rules, and who is asked, for a person."""
    length = f"{facts.seconds / 60:.1f} min" if facts.seconds else "length known once it is decoded"
    rules = [(one.rule.name, one.rule.provider, f"no: {one.why_not}" if one.why_not else "yes") for one in plan.looked]
    asked = [
        (
            str(place),
            choice.provider,
            choice.model or "as asked",
            choice.workers or "any",
            cost_of(prices.get(choice.provider, 0.0), facts.seconds),
            choice.reason,
        )
        for place, choice in enumerate(plan.choices, 1)
    ]
    language = facts.language or "to be detected"
    return [
        f"{facts.size_bytes / 1e6:.1f} MB, {length}, language {language}, user {facts.user}, priority {facts.priority}",
        "",
        *as_table(("RULE", "PROVIDER", "HOLDS"), rules),
        "",
        *(as_table(("", "ASKED", "MODEL", "WORKERS", "COST", "WHY"), asked) if asked else ["Nobody can be asked."]),
        *(f"not asked: {reason}" for reason in plan.left_out.values()),
    ]


def cost_of(dollars_per_minute: float, seconds: float) -> str:
    """A price, or what so many seconds cost at it where they are known."""
    if not dollars_per_minute:
        return "-"
    return f"${dollars_per_minute * seconds / 60:.4f}" if seconds else f"${dollars_per_minute:g}/min"


def _plan_data(facts: Facts, plan: Plan, prices: Mapping[str, float]) -> dict[str, Any]:
    return {
        "facts": asdict(facts) | {"dollars": facts.dollars if facts.dollars < math.inf else None},
        "rules": [
            {"name": one.rule.name, "provider": one.rule.provider, "why_not": one.why_not} for one in plan.looked
        ],
        "choices": [
            asdict(choice) | {"dollars_per_minute": prices.get(choice.provider, 0.0)} for choice in plan.choices
        ],
        "left_out": dict(plan.left_out),
    }
