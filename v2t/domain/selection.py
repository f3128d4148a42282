"""Which providers are asked for a file, and in which order: facts, rules and a chain go in, a plan comes out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from v2t.domain.jobs import Choice, TranscribeRequest

_MEGABYTE = 1_000_000
_MINUTE = 60.0
_DECIMALS = 6
"""Of prices: ten times $0.006 are $0.06, and not a trifle more."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a file before anybody has listened to it."""

    size_bytes: int
    seconds: float = 0.0  # 0: not known
    language: str = ""  # ISO 639-1 code; empty: to be detected
    format: str = ""  # of its name: the part behind the last dot, in lower case
    user: str = ""
    priority: int = 0  # of the job, 1 the most urgent
    translate: bool = False
    dollars: float = math.inf  # what it may cost
    tags: tuple[str, ...] = ()
    budget_dollars: float = math.inf  # left of the user's month
    detects: bool = False  # where no language was given, the beginning is listened to before a rule needs it


@dataclass(frozen=True, slots=True)
class Rule:
    """A provider for files of some kind; a condition that is not set holds for all."""

    name: str
    provider: str
    model: str = ""  # empty: the one that was asked for, or the provider's own
    workers: str = ""  # kind of workers that are to compute it; empty: those the provider needs
    priority: int = 0  # rules of a higher one are looked at first
    larger_than_mb: float = 0.0
    smaller_than_mb: float = 0.0
    longer_than_minutes: float = 0.0
    shorter_than_minutes: float = 0.0
    languages: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    job_priorities: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()  # one of them
    healthy: tuple[str, ...] = ()  # providers that are all set up and well
    unhealthy: tuple[str, ...] = ()  # providers that are all set up and in trouble
    max_dollars: float = 0.0  # what the rule's provider may take for the file
    budget_left_above_dollars: float = 0.0  # of the user's month


DEFAULT_RULES = (
    Rule("urgent work goes to graphics cards", "local", workers="gpu", priority=40, job_priorities=(1,)),
    Rule("Chinese goes to whisper.cpp", "whisper_cpp", priority=30, languages=("zh",)),
    Rule("large files go to OpenAI", "openai", priority=20, larger_than_mb=100.0),
    Rule("what costs nothing comes first", "local"),
)
"""The four examples of the specification. Each needs what it names: without it, the next one decides."""

DEFAULT_CHAIN = ("local", "openai", "elevenlabs")

ENGINES = ("local", "faster_whisper", "whisper_cpp")
"""Providers of the machine itself."""

SERVICES = ("openai", "elevenlabs", "whisper_server", "custom_http", "ssh_whisper")
"""Providers on other machines."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a provider can be asked now."""

    missing: str = ""  # why it can not be used at all, as nobody has set it up; empty: it can
    trouble: str = ""  # why it had better be asked last; empty: it is well
    translates: bool = True
    dollars_per_minute: float = 0.0


NO_SUCH_PROVIDER = Standing(missing="there is no such provider")


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a rule."""

    rule: Rule
    why_not: str = ""  # empty: it decides
    perhaps: bool = False  # it decides if the language, which is yet to be detected, is one of its


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to ask, one after the other, and how that came about."""

    choices: tuple[Choice, ...]
    looked: tuple[Looked, ...]  # the rules, in the order they were looked at
    left_out: Mapping[str, str]  # providers that were meant and cannot be asked, and why
    facts: Facts  # that it goes by


def facts_of(request: TranscribeRequest, seconds: float) -> Facts:
    """What a request says of its file.

    Args:
        request: to transcribe it.
        seconds: its length; 0: not known.
    """
    name, dot, suffix = request.audio.name.rpartition(".")
    return Facts(
        size_bytes=request.audio.size_bytes,
        seconds=seconds,
        language=request.options.language,
        format=suffix.lower() if name and dot else "",
        user=request.user,
        priority=request.priority,
        translate=request.options.translate,
        dollars=request.max_dollars or math.inf,
        tags=request.tags,
    )


def make_plan(
    facts: Facts,
    rules: Sequence[Rule],
    chain: Sequence[str],
    standings: Mapping[str, Standing],
    kinds: frozenset[str],
) -> Plan:
    """Order the providers: the first rule that holds names the first one, and the chain those after it.

    Whoever is in trouble comes after all that are well, and is still asked before the file is given up.

    Args:
        facts: of the file.
        rules: in any order; of those with the same priority the first one counts.
        chain: names of providers.
        standings: of each provider; one that is not in it does not exist.
        kinds: kinds of workers that are there.
    """
    looked = tuple(_look(facts, rules, standings, kinds))
    meant = [Choice(provider, reason="the chain") for provider in chain]
    if looked and not looked[-1].why_not:
        rule = looked[-1].rule
        meant.insert(0, Choice(rule.provider, rule.model, rule.workers, f"rule: {rule.name}"))
    left_out: dict[str, str] = {}
    found: dict[tuple[str, str], Choice] = {}
    for choice in meant:
        if why_not := _why_not(facts, choice.provider, standings):
            left_out[choice.provider] = why_not
        else:
            found.setdefault((choice.provider, choice.workers), choice)
    well, troubled = [], []
    for choice in found.values():
        if trouble := standings[choice.provider].trouble:
            troubled.append(replace(choice, reason=f"{choice.reason}; last, as it is in trouble: {trouble}"))
        else:
            well.append(choice)
    return Plan((*well, *troubled), looked, left_out, facts)


def needs_language(
    facts: Facts, rules: Sequence[Rule], standings: Mapping[str, Standing], kinds: frozenset[str]
) -> bool:
    """Whether some language would make a rule decide that does not while none is known; see `make_plan`."""
    return any(one.perhaps for one in _look(replace(facts, detects=True), rules, standings, kinds))


def _look(
    facts: Facts, rules: Sequence[Rule], standings: Mapping[str, Standing], kinds: frozenset[str]
) -> Iterator[Looked]:
    """Up to the first rule that holds, and whose provider and workers are there."""
    for rule in sorted(rules, key=lambda rule: -rule.priority):
        reasons = list(_reasons_against(facts, rule, standings, kinds))
        if not reasons:
            yield Looked(rule)
            return
        is_open = facts.detects and not facts.language
        yield Looked(rule, reasons[0], perhaps=is_open and reasons == list(_unmet_by_language(rule, facts)))


def _reasons_against(
    facts: Facts, rule: Rule, standings: Mapping[str, Standing], kinds: frozenset[str]
) -> Iterator[str]:
    """Why a rule does not hold, or could not be followed, in words; nothing where it decides."""
    yield from _unmet_by_file(rule, facts)
    yield from _unmet_by_job(rule, facts)
    yield from _unmet_by_health(rule, standings)
    is_open = facts.detects and not facts.language
    if not is_open:
        yield from _unmet_by_language(rule, facts)
    if why_not := _why_not(facts, rule.provider, standings):
        yield why_not
    if rule.workers and rule.workers not in kinds:
        yield f"there are no {rule.workers} workers"
    standing = standings.get(rule.provider, NO_SUCH_PROVIDER)
    if standing.trouble:
        yield f"{rule.provider} is in trouble: {standing.trouble}"
    yield from _unmet_by_price(rule, facts, standing)
    if is_open:  # last, so that nobody listens for a rule that cannot be followed
        yield from _unmet_by_language(rule, facts)


def _why_not(facts: Facts, provider: str, standings: Mapping[str, Standing]) -> str:
    """Why a provider cannot be asked for this file; empty: it can."""
    standing = standings.get(provider, NO_SUCH_PROVIDER)
    if standing.missing:
        return f"{provider}: {standing.missing}"
    if facts.translate and not standing.translates:
        return f"{provider} does not translate"
    if facts.dollars < math.inf:
        price = price_of(facts, standing)
        if price is None:
            return f"{provider} costs money, how much is not known before the length is, and there is a limit"
        if price > facts.dollars:
            return f"{provider} would cost ${price:.4f}, and ${facts.dollars:.4f} may be spent"
    return ""


def price_of(facts: Facts, standing: Standing) -> float | None:
    """The dollars that a provider takes for a file; None: it takes some, and the file's length is not known."""
    if not standing.dollars_per_minute:
        return 0.0
    price = standing.dollars_per_minute * facts.seconds / _MINUTE
    return round(price, _DECIMALS) if facts.seconds else None


def _unmet_by_file(rule: Rule, facts: Facts) -> Iterator[str]:
    """Each condition on the file that does not hold, in words."""
    megabytes, minutes = facts.size_bytes / _MEGABYTE, facts.seconds / _MINUTE
    if rule.larger_than_mb and megabytes <= rule.larger_than_mb:
        yield f"{megabytes:.1f} MB is not above {rule.larger_than_mb:g} MB"
    if rule.smaller_than_mb and megabytes >= rule.smaller_than_mb:
        yield f"{megabytes:.1f} MB is not below {rule.smaller_than_mb:g} MB"
    if (rule.longer_than_minutes or rule.shorter_than_minutes) and not facts.seconds:
        yield "the length is not known"
    if rule.longer_than_minutes and minutes <= rule.longer_than_minutes:
        yield f"{minutes:.1f} min is not above {rule.longer_than_minutes:g} min"
    if rule.shorter_than_minutes and minutes >= rule.shorter_than_minutes:
        yield f"{minutes:.1f} min is not below {rule.shorter_than_minutes:g} min"
    if rule.formats and facts.format not in rule.formats:
        yield f"the format is {facts.format or 'not in the name'}, not {_any_of(rule.formats)}"


def _unmet_by_job(rule: Rule, facts: Facts) -> Iterator[str]:
    """Each condition on what was asked, and by whom, that does not hold."""
    if rule.users and facts.user not in rule.users:
        yield f"the user is {facts.user}, not {_any_of(rule.users)}"
    if rule.job_priorities and facts.priority not in rule.job_priorities:
        yield f"the priority is {facts.priority}, not {_any_of(rule.job_priorities)}"
    if rule.tags and not set(rule.tags) & set(facts.tags):
        said = {0: "no tag was given", 1: "the tag is "}.get(len(facts.tags), "the tags are ")
        yield f"{said}{' and '.join(facts.tags)}, not {_any_of(rule.tags)}"
    if rule.budget_left_above_dollars and facts.budget_dollars <= rule.budget_left_above_dollars:
        left = f"${facts.budget_dollars:.2f} of the month's budget is left"
        yield f"{left}, not more than ${rule.budget_left_above_dollars:.2f}"


def _unmet_by_language(rule: Rule, facts: Facts) -> Iterator[str]:
    """The condition on the language, where it does not hold or not yet."""
    if rule.languages and facts.language not in rule.languages:
        if facts.language:
            yield f"the language is {facts.language}, not {_any_of(rule.languages)}"
        elif facts.detects:
            yield f"only if the language turns out to be {_any_of(rule.languages)}"
        else:
            yield f"no language was given, not {_any_of(rule.languages)}"


def _unmet_by_health(rule: Rule, standings: Mapping[str, Standing]) -> Iterator[str]:
    """Each condition on the health of providers that does not hold."""
    for provider in (*rule.healthy, *rule.unhealthy):
        standing = standings.get(provider, NO_SUCH_PROVIDER)
        if standing.missing:
            yield f"{provider}: {standing.missing}"
        elif provider in rule.healthy and standing.trouble:
            yield f"{provider} is in trouble: {standing.trouble}"
        elif provider in rule.unhealthy and not standing.trouble:
            yield f"{provider} is not in trouble"


def _unmet_by_price(rule: Rule, facts: Facts, standing: Standing) -> Iterator[str]:
    """The condition on what the rule's own provider takes, where it does not hold."""
    if rule.max_dollars:
        price = price_of(facts, standing)
        if price is None:
            yield f"what {rule.provider} would cost is not known before the length is"
        elif price > rule.max_dollars:
            yield f"{rule.provider} would cost ${price:.4f}, more than ${rule.max_dollars:.4f}"


def _any_of(values: Sequence[object]) -> str:
    return " or ".join(map(str, values))
