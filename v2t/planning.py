"""Who is asked for a file: the rules and the chain of the settings, and what there is to ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2t.domain.jobs import AUTO, LOCAL, Choice, TranscribeRequest
from v2t.domain.ports import Breakers, JobRecords
from v2t.domain.selection import DEFAULT_RULES, Facts, Plan, Rule, Standing, facts_of, make_plan, needs_language
from v2t.providers.table import REMOTE_PROVIDERS, is_installed, local_providers

if TYPE_CHECKING:
    from v2t.config import Settings

Kinds = Callable[[], Awaitable[frozenset[str]]]
"""→ the kinds of workers that are there."""

_NEEDED = ("api_key", "url", "hosts")
"""What makes a provider on another machine usable: the first of these that its section has."""

Spent = Callable[[str], float]
"""User → the dollars that ended jobs of this month came to; it may block."""

_SPENT_SECONDS = 60.0
"""How long what a user has spent is taken for known."""


Detect = Callable[[Path, str], Awaitable[str]]
"""Audio and the name of a model → the language spoken there; empty: it cannot be told."""


def nothing_spent(_user: str) -> float:
    """Where nobody keeps records."""
    return 0.0


async def no_kinds() -> frozenset[str]:
    """Of one machine alone, whose worker does everything."""
    return frozenset()


class Planner:
    """Chooses providers by the settings.

    Args:
        settings: with rules, chain, and what each provider needs.
        kinds: asked with each plan.
        breakers: what is known of the failures of providers on other machines.
        spent: by a user in this month.
        detect: what tells the language of a file's beginning; None: nobody can.
    """

    def __init__(
        self,
        settings: Settings,
        kinds: Kinds,
        breakers: Breakers,
        spent: Spent = nothing_spent,
        detect: Detect | None = None,
    ) -> None:
        selection = settings.selection
        own = tuple(rule.as_rule() for rule in selection.rules)
        self._settings = settings
        self._kinds = kinds
        self._breakers = breakers
        self._spent = spent
        self._known_spent: dict[str, tuple[float, float]] = {}
        self._rules: tuple[Rule, ...] = (*own, *(DEFAULT_RULES if selection.default_rules else ()))
        self._standings = standings(settings)
        self._remote = remote_providers(settings)
        self._detect = detect if selection.detect_language else None

    async def choose(
        self, request: TranscribeRequest, seconds: float, beginning: Path | None = None
    ) -> tuple[Choice, ...]:
        """See ChooseProviders."""
        named = request.options.provider
        if named == AUTO:
            return (await self.plan(facts_of(request, seconds), beginning, request.options.model)).choices
        if named not in REMOTE_PROVIDERS:
            return ()
        return (self._placed(Choice(named, request.options.model), await self._kinds()),)

    async def plan(self, facts: Facts, beginning: Path | None = None, model: str = "") -> Plan:
        """Whom to ask for a file, and why.

        Args:
            facts: of the file.
            beginning: audio that is listened to where a rule needs a language that is not known; None: there is none.
            model: of the engine that listens.
        """
        kinds = await self._kinds()
        if self._remote and self._settings.selection.monthly_dollars:
            left = await self._left(facts.user)
            facts = replace(facts, dollars=min(facts.dollars, left), budget_dollars=left)
        known = await asyncio.to_thread(self._with_troubles) if self._remote else self._standings
        if self._detect and beginning and not facts.language and needs_language(facts, self._rules, known, kinds):
            facts = replace(facts, language=await self._detect(beginning, model))
        plan = make_plan(facts, self._rules, self._settings.selection.chain, known, kinds)
        return replace(plan, choices=tuple(self._placed(choice, kinds) for choice in plan.choices))

    async def _left(self, user: str) -> float:
        """What a user may spend yet in this month."""
        at, spent = self._known_spent.get(user, (-_SPENT_SECONDS, 0.0))
        if time.monotonic() - at >= _SPENT_SECONDS:
            spent = await asyncio.to_thread(self._spent, user)
            self._known_spent[user] = (time.monotonic(), spent)
        return max(0.0, self._settings.selection.monthly_dollars - spent)

    def _with_troubles(self) -> dict[str, Standing]:
        """The standings, with the failures of now."""
        now, known = time.time(), dict(self._standings)
        for name in self._remote:
            breaker = self._breakers.read(name)
            if breaker.state(now) == "open":
                known[name] = replace(known[name], trouble=breaker.reason)
        return known

    def _placed(self, choice: Choice, kinds: frozenset[str]) -> Choice:
        """A provider on another machine with its model, and the workers that are there to ask it."""
        if choice.provider not in REMOTE_PROVIDERS:
            return choice
        model = choice.model or _section_value(self._settings, choice.provider, "model", "")
        workers = choice.workers or ("remote" if "remote" in kinds else "")
        return replace(choice, model=model, workers=workers, own_queue=choice.provider in self._remote)


@dataclass(frozen=True, slots=True)
class Description:
    """What the settings and this machine say of a provider."""

    name: str
    where: str  # here, or on another machine
    model: str
    missing: str  # without which it is not asked by itself; empty: nothing
    dollars_per_minute: float


def describe_providers(settings: Settings) -> list[Description]:
    """All there are, those of this machine first."""
    return [
        Description(
            name,
            "another machine" if name in REMOTE_PROVIDERS else "this machine",
            _section_value(settings, name, "model", ""),
            standing.missing,
            standing.dollars_per_minute,
        )
        for name, standing in standings(settings).items()
    ]


def is_choice(settings: Settings) -> bool:
    """Whether rules and chain may name anybody but the engine of this machine; a cluster's workers know more."""
    return settings.is_cluster or bool(settings.selection.rules or remote_providers(settings))


def spent_by(records: JobRecords) -> Spent:
    """What the records know of a user's month."""

    def spent(user: str) -> float:
        begin = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return sum(line.dollars for line in records.costs("user", begin.timestamp()) if line.key == user)

    return spent


def remote_providers(settings: Settings) -> list[str]:
    """Those on other machines that are set up."""
    return [name for name in REMOTE_PROVIDERS if not _lacking(settings, name)]


def _section_value(settings: Settings, provider: str, key: str, default: Any) -> Any:
    """A value of a provider's own section; the default where it has none."""
    return getattr(getattr(settings, provider, None), key, default)


def standings(settings: Settings) -> dict[str, Standing]:
    """Of every provider: whether it is set up here."""
    engines = local_providers(settings.engine.whisper_cli)
    installed = {name: is_installed(provider) for name, provider in engines.items()}
    found = {LOCAL: Standing("" if any(installed.values()) else "no speech engine is installed")}
    found |= {name: Standing("" if there else "it is not installed") for name, there in installed.items()}
    return found | {
        name: Standing(
            _lacking(settings, name),
            translates=provider.translates,
            dollars_per_minute=_section_value(settings, name, "dollars_per_minute", 0.0),
        )
        for name, provider in REMOTE_PROVIDERS.items()
    }


def _lacking(settings: Settings, provider: str) -> str:
    """The setting without which a provider is not asked by itself; empty: it has it.

    A key that only the environment of some program holds, such as OPENAI_API_KEY, is no wish to send recordings there.
    """
    section = getattr(settings, provider)
    key = next(key for key in _NEEDED if hasattr(section, key))
    is_set = getattr(section, key) and settings.source_of(f"{provider}.{key}") != "default"
    return "" if is_set else f"{provider}.{key} is not set"


def kinds_of_cluster(settings: Settings) -> Kinds:
    """Those of the settings' cluster, for a command that has no connection yet; none where there is no cluster."""

    async def kinds() -> frozenset[str]:
        from v2t import wiring
        from v2t.client.fleet import kinds_of

        return await kinds_of(await wiring.connect_client(settings))()

    return kinds if settings.is_cluster else no_kinds
