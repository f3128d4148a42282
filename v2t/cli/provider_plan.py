"""`v2t providers explain`."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from v2t.cli.engine_options import tag_option
from v2t.cli.output import Result, as_table, printable, returns_result
from v2t.domain.jobs import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v2t.config import Settings
    from v2t.domain.selection import Facts, Looked, Plan


@click.command("explain")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-l", "--language", default="", help="Language that would be given; auto, as without it: detect it.")
@click.option("--translate", is_flag=True, help="As if a translation were asked for.")
@click.option("--priority", type=click.IntRange(1, 5), default=3, show_default=True, help="Priority of the job.")
@tag_option
@click.option("--user", default="", help="As if this user asked. [default: you]")
@click.option("--max-cost", type=click.FloatRange(min=0, min_open=True), help="US dollars it may cost.")
@click.option("--minutes", type=click.FloatRange(min=0), default=0.0, help="Its length, for rules that look at it.")
@returns_result
def command(
    file: Path,
    language: str,
    translate: bool,
    priority: int,
    tags: tuple[str, ...],
    user: str,
    max_cost: float | None,
    minutes: float,
) -> Result:
    """Show whom the rules and the chain choose for FILE, in which order, and why.

    It goes by the settings of this machine; nothing is sent anywhere. On a cluster the workers' settings decide.

    \b
    Examples:
      v2t providers explain lecture.mp4
      v2t providers explain hearing.wav --tag court --minutes 90
      v2t providers explain 讲座.mp3 --language zh --json
    """
    from v2t.config import load_settings
    from v2t.planning import describe_providers

    settings = load_settings()
    facts = _facts(settings, file, language, user, priority, minutes, translate=translate)
    plan = _plan(settings, replace(facts, tags=tags, dollars=max_cost or math.inf))
    prices = {provider.name: provider.dollars_per_minute for provider in describe_providers(settings)}
    lines = [*_told_facts(settings, file, plan.facts), "", *_told_plan(settings, plan, prices)]
    return Result(data=_plan_data(plan, prices), lines=lines)


def _facts(
    settings: Settings, file: Path, language: str, user: str, priority: int, minutes: float, *, translate: bool
) -> Facts:
    from v2t.cli.transcribe import user_of
    from v2t.domain.jobs import TranscribeOptions
    from v2t.domain.languages import parse_language
    from v2t.domain.selection import facts_of
    from v2t.submission import identify

    options = TranscribeOptions(language=parse_language(language), translate=translate)
    facts = facts_of(identify(file, options, user or user_of(settings), priority), minutes * 60)
    return replace(facts, detects=settings.selection.detect_language)


def _plan(settings: Settings, facts: Facts) -> Plan:
    """As a worker makes it, but that nobody listens."""
    from v2t import wiring
    from v2t.planning import Planner, kinds_of_cluster, nothing_spent, spent_by

    records = wiring.open_records(settings)
    spent = spent_by(records) if _knows_spending(settings) else nothing_spent
    try:
        planner = Planner(settings, kinds_of_cluster(settings), wiring.open_breakers(settings), spent)
        return asyncio.run(planner.plan(facts))
    finally:
        records.close()


def _knows_spending(settings: Settings) -> bool:
    """Whether this machine can look into the records; those of a cluster are in a database that not everybody knows."""
    return not settings.is_cluster or bool(settings.database.url.reveal())


def _told_facts(settings: Settings, file: Path, facts: Facts) -> list[str]:
    """What is known of the file, a line for each kind of thing."""
    length = f"{facts.seconds / 60:.1f} min" if facts.seconds else "length not known before it is decoded (--minutes)"
    told = [
        ("file", f"{file.name}, {facts.size_bytes / 1e6:.1f} MB, {length}"),
        ("language", _told_language(facts)),
        ("asked by", f"{facts.user}, priority {facts.priority}, {_told_tags(facts.tags)}"),
    ]
    if facts.translate:
        told.append(("wanted", "a translation into English"))
    if facts.dollars < math.inf:
        told.append(("money", f"at most {_dollars(facts.dollars)} for this file{_told_budget(settings, facts)}"))
    return [f"{name + ':':<10}{printable(text)}" for name, text in told]


def _told_language(facts: Facts) -> str:
    if facts.language:
        return facts.language
    if facts.detects:
        return "to be detected, before the rules are looked at if one of them depends on it"
    return "to be detected; rules that ask for a language do not hold"


def _told_tags(tags: tuple[str, ...]) -> str:
    if not tags:
        return "no tags"
    return f"{'tag' if len(tags) == 1 else 'tags'} {', '.join(tags)}"


def _told_budget(settings: Settings, facts: Facts) -> str:
    if facts.budget_dollars == math.inf:
        return ""
    monthly = _dollars(settings.selection.monthly_dollars)
    if not _knows_spending(settings):
        return f", if nothing of this month's {monthly} is spent yet: database.url is not set here"
    return f"; {_dollars(facts.budget_dollars)} of this month's {monthly} is left"


def _dollars(amount: float) -> str:
    """Down to the cent, and further where there is more."""
    text = f"${amount:.4f}"
    return text.removesuffix("00")


def _told_plan(settings: Settings, plan: Plan, prices: Mapping[str, float]) -> Iterator[str]:
    """The rules, who is asked, and who is not, for a person."""
    yield "Rules, in the order they are looked at, up to the first that holds:"
    rules = [(one.rule.name, one.rule.provider, _told_outcome(one)) for one in plan.looked]
    yield from as_table(("RULE", "WOULD ASK", "HOLDS"), rules) if rules else ["(there are none)"]
    if any(one.perhaps for one in plan.looked):
        yield "(perhaps: a worker listens to the beginning first; the rest holds where it hears another language)"
    yield ""
    if plan.choices:
        yield "Asked, one after the other until one succeeds:"
        yield from _asked(settings, plan, prices)
    else:
        yield "Nobody can be asked: the job would fail. `v2t providers list` shows what each provider lacks."
    if plan.left_out:
        yield ""
        yield "Not asked, although a rule or the chain names them:"
        yield from (printable(reason) for reason in plan.left_out.values())


def _told_outcome(one: Looked) -> str:
    if one.perhaps:
        return f"perhaps: {one.why_not}"
    return f"no: {one.why_not}" if one.why_not else "yes"


def _asked(settings: Settings, plan: Plan, prices: Mapping[str, float]) -> list[str]:
    rows = [
        (
            f"{place}.",
            choice.provider,
            choice.model or settings.models.default,
            choice.workers or "any",
            cost_of(prices.get(choice.provider, 0.0), plan.facts.seconds, free="nothing"),
            choice.reason,
        )
        for place, choice in enumerate(plan.choices, 1)
    ]
    lines = as_table(("", "PROVIDER", "MODEL", "WORKERS", "COSTS", "WHY"), rows)
    if settings.is_cluster or all(choice.provider != LOCAL for choice in plan.choices):
        return lines
    return [*lines, f"(local is the fastest engine that works here: {_engine(settings)})"]


def _engine(settings: Settings) -> str:
    from v2t import wiring

    return wiring.open_engines(settings).resolve(LOCAL).name


def cost_of(dollars_per_minute: float, seconds: float, free: str = "-") -> str:
    """A price, or what so many seconds cost at it where they are known."""
    if not dollars_per_minute:
        return free
    return f"${dollars_per_minute * seconds / 60:.4f}" if seconds else f"${dollars_per_minute:g}/min"


def _plan_data(plan: Plan, prices: Mapping[str, float]) -> dict[str, Any]:
    facts = {name: None if value == math.inf else value for name, value in asdict(plan.facts).items()}
    return {
        "facts": facts,
        "rules": [
            {"name": one.rule.name, "provider": one.rule.provider, "why_not": one.why_not, "perhaps": one.perhaps}
            for one in plan.looked
        ],
        "choices": [
            asdict(choice) | {"dollars_per_minute": prices.get(choice.provider, 0.0)} for choice in plan.choices
        ],
        "left_out": dict(plan.left_out),
    }
