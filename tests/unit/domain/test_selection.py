from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2t.domain.jobs import AudioRef, Choice, TranscribeOptions, TranscribeRequest
from v2t.domain.selection import (
    DEFAULT_CHAIN,
    DEFAULT_RULES,
    Facts,
    Plan,
    Rule,
    Standing,
    facts_of,
    make_plan,
    needs_language,
)

WELL = Standing()
ALL = dict.fromkeys(("local", "whisper_cpp", "openai", "elevenlabs"), WELL)
FILE = Facts(5_000_000, 60.0, priority=3, user="anna", format="wav")
LARGE = replace(FILE, size_bytes=100_000_001)


def plan(facts: Facts = FILE, *rules: Rule, standings: dict[str, Standing] | None = None, kinds: str = "") -> Plan:
    return make_plan(facts, rules or DEFAULT_RULES, DEFAULT_CHAIN, standings or ALL, frozenset(kinds.split()))


def names(of: Plan) -> list[str]:
    return [choice.provider for choice in of.choices]


def test_without_anything_special_what_costs_nothing_comes_first() -> None:
    assert names(plan()) == ["local", "openai", "elevenlabs"]
    assert plan().choices[0].reason == "rule: what costs nothing comes first"
    assert plan().choices[1].reason == "the chain"


def test_a_large_file_goes_to_openai_where_that_is_set_up() -> None:
    assert names(plan(LARGE)) == ["openai", "local", "elevenlabs"]
    assert names(plan(LARGE, standings={"local": WELL})) == ["local"]


def test_chinese_goes_to_whisper_cpp() -> None:
    assert names(plan(replace(FILE, language="zh"))) == ["whisper_cpp", "local", "openai", "elevenlabs"]


def test_urgent_work_goes_to_graphics_cards_where_there_are_some_and_then_to_any_worker() -> None:
    urgent = replace(FILE, priority=1)
    assert [(choice.provider, choice.workers) for choice in plan(urgent, kinds="cpu gpu").choices[:2]] == [
        ("local", "gpu"),
        ("local", ""),
    ]
    assert plan(urgent, kinds="cpu").looked[0].why_not == "there are no gpu workers"
    assert plan(urgent, kinds="cpu").choices[0].workers == ""


@pytest.mark.parametrize(
    ("rule", "facts", "why_not"),
    [
        (Rule("r", "openai", larger_than_mb=5), FILE, "5.0 MB is not above 5 MB"),
        (Rule("r", "openai", smaller_than_mb=5), FILE, "5.0 MB is not below 5 MB"),
        (Rule("r", "openai", longer_than_minutes=1), FILE, "1.0 min is not above 1 min"),
        (Rule("r", "openai", shorter_than_minutes=1), FILE, "1.0 min is not below 1 min"),
        (Rule("r", "openai", longer_than_minutes=1), replace(FILE, seconds=0), "the length is not known"),
        (Rule("r", "openai", languages=("de", "fr")), FILE, "no language was given, not de or fr"),
        (Rule("r", "openai", languages=("de",)), replace(FILE, language="en"), "the language is en, not de"),
        (Rule("r", "openai", formats=("mp3",)), FILE, "the format is wav, not mp3"),
        (Rule("r", "openai", formats=("mp3",)), replace(FILE, format=""), "the format is not in the name, not mp3"),
        (Rule("r", "openai", users=("bert",)), FILE, "the user is anna, not bert"),
        (Rule("r", "openai", job_priorities=(1, 2)), FILE, "the priority is 3, not 1 or 2"),
        (Rule("r", "openai", tags=("court", "press")), FILE, "no tag was given, not court or press"),
        (Rule("r", "openai", tags=("court",)), replace(FILE, tags=("press",)), "the tag is press, not court"),
        (Rule("r", "openai", tags=("court",)), replace(FILE, tags=("a", "b")), "the tags are a and b, not court"),
        (Rule("r", "openai", healthy=("siri",)), FILE, "siri: there is no such provider"),
        (Rule("r", "openai", unhealthy=("local",)), FILE, "local is not in trouble"),
        (
            Rule("r", "openai", budget_left_above_dollars=2),
            replace(FILE, budget_dollars=2.0),
            "$2.00 of the month's budget is left, not more than $2.00",
        ),
        (
            Rule("r", "openai", languages=("de", "fr")),
            replace(FILE, detects=True),
            "only if the language turns out to be de or fr",
        ),
        (Rule("r", "siri", languages=("de",)), replace(FILE, detects=True), "siri: there is no such provider"),
        (Rule("r", "siri"), FILE, "siri: there is no such provider"),
        (Rule("r", "openai", workers="gpu"), FILE, "there are no gpu workers"),
    ],
)
def test_a_rule_that_does_not_hold_says_why(rule: Rule, facts: Facts, why_not: str) -> None:
    made = plan(facts, rule)
    assert [looked.why_not for looked in made.looked] == [why_not]
    assert made.choices[0] == Choice("local", reason="the chain")


def test_a_rule_holds_where_all_its_conditions_do() -> None:
    rule = Rule("r", "openai", "gpt-4o-transcribe", "", 0, 4, 6, 0.5, 2, ("en",), ("wav",), ("anna",), (3,))
    rule = replace(rule, tags=("court", "press"), healthy=("local", "openai"), unhealthy=("elevenlabs",))
    rule = replace(rule, max_dollars=0.01, budget_left_above_dollars=2)
    standings = ALL | {"openai": Standing(dollars_per_minute=0.01), "elevenlabs": Standing(trouble="it is down")}
    facts = replace(FILE, language="en", tags=("press",), budget_dollars=2.5)
    made = plan(facts, rule, standings=standings)
    assert made.choices[0] == Choice("openai", "gpt-4o-transcribe", "", "rule: r")


def test_a_rule_asks_for_all_the_providers_that_it_names_to_be_well_or_in_trouble() -> None:
    down = Standing(trouble="it is down")
    both = Rule("r", "local", healthy=("openai", "elevenlabs")), Rule("r", "local", unhealthy=("openai", "elevenlabs"))
    for well, rule in zip((True, False), both, strict=True):
        one = plan(FILE, rule, standings=ALL | {"elevenlabs": down})
        asked = plan(FILE, rule, standings=ALL if well else ALL | {"openai": down, "elevenlabs": down})
        missing = plan(FILE, rule, standings=ALL | {"openai": Standing("no key", "it is down"), "elevenlabs": down})
        assert one.looked[0].why_not == ("elevenlabs is in trouble: it is down" if well else "openai is not in trouble")
        assert asked.looked[0].why_not == ""
        assert missing.looked[0].why_not == "openai: no key"


def test_a_rule_may_limit_what_its_own_provider_takes() -> None:
    rule = Rule("r", "openai", max_dollars=0.06)
    why_not = [
        plan(replace(FILE, seconds=seconds), rule, standings=PRICED).looked[0].why_not for seconds in (600, 660, 0)
    ]
    assert why_not == [
        "",
        "openai would cost $0.0660, more than $0.0600",
        "what openai would cost is not known before the length is",
    ]
    assert plan(replace(FILE, seconds=0), replace(rule, provider="local"), standings=PRICED).looked[0].why_not == ""


def test_a_budget_that_is_spent_stops_no_rule_that_does_not_look_at_it() -> None:
    assert plan(replace(FILE, budget_dollars=0.0, dollars=0.0), Rule("r", "openai")).looked[0].why_not == ""


@pytest.mark.parametrize(
    ("rules", "needed"),
    [
        ((Rule("r", "openai", languages=("de",)),), True),
        ((Rule("r", "openai", languages=("de",), users=("bert",)),), False),
        ((Rule("r", "siri", languages=("de",)),), False),
        ((Rule("r", "openai", languages=("de",), workers="gpu"),), False),
        ((Rule("r", "elevenlabs"), Rule("late", "openai", languages=("de",))), False),
        ((Rule("r", "elevenlabs", languages=("de",), priority=-1), Rule("r", "openai", users=("bert",))), True),
        ((), False),
    ],
)
def test_the_language_is_needed_only_where_it_alone_stands_between_a_rule_and_the_file(
    rules: tuple[Rule, ...], needed: bool
) -> None:
    for detects in (True, False):
        assert needs_language(replace(FILE, detects=detects), rules, ALL, frozenset()) is needed


def test_the_rule_of_the_highest_priority_decides_and_no_other_is_looked_at() -> None:
    low, high = Rule("low", "openai", priority=1), Rule("high", "elevenlabs", priority=2)
    made = plan(FILE, low, high)
    assert names(made) == ["elevenlabs", "local", "openai"]
    assert [looked.rule for looked in made.looked] == [high]


def test_who_is_in_trouble_is_asked_last_but_asked() -> None:
    troubled = ALL | {"local": Standing(trouble="its last ten calls failed")}
    made = plan(standings=troubled)
    assert names(made) == ["openai", "elevenlabs", "local"]
    assert made.looked[-1].why_not == "local is in trouble: its last ten calls failed"


def test_who_is_not_set_up_is_left_out_with_the_reason() -> None:
    made = plan(standings=ALL | {"openai": Standing("openai.api_key is not set")})
    assert names(made) == ["local", "elevenlabs"]
    assert made.left_out == {"openai": "openai: openai.api_key is not set"}


def test_who_does_not_translate_is_left_out_of_a_translation() -> None:
    made = plan(replace(FILE, translate=True), standings=ALL | {"elevenlabs": Standing(translates=False)})
    assert names(made) == ["local", "openai"]
    assert made.left_out == {"elevenlabs": "elevenlabs does not translate"}


PRICED = ALL | {"openai": Standing(dollars_per_minute=0.006), "elevenlabs": Standing(dollars_per_minute=0.1)}


def test_who_would_cost_more_than_may_be_spent_is_left_out() -> None:
    made = plan(replace(FILE, seconds=600, dollars=0.5), standings=PRICED)
    assert names(made) == ["local", "openai"]
    assert made.left_out == {"elevenlabs": "elevenlabs would cost $1.0000, and $0.5000 may be spent"}
    assert names(plan(replace(FILE, seconds=600), standings=PRICED)) == ["local", "openai", "elevenlabs"]


def test_where_the_length_is_not_known_nobody_is_paid_against_a_limit() -> None:
    made = plan(replace(FILE, seconds=0, dollars=0.5), standings=PRICED)
    assert names(made) == ["local"]
    assert "how much is not known" in made.left_out["openai"]


def test_the_facts_are_those_of_the_request() -> None:
    audio = AudioRef("0" * 64, 9, "Anna's talk.MP3")
    request = TranscribeRequest(audio, TranscribeOptions(language="de", translate=True), "anna", 2, tags=("press",))
    assert facts_of(request, 7.5) == Facts(9, 7.5, "de", "mp3", "anna", 2, translate=True, tags=("press",))
    assert facts_of(replace(request, max_dollars=0.25), 0).dollars == 0.25
    for name in ("talk", ".mp3", "talk."):
        assert facts_of(replace(request, audio=replace(audio, name=name)), 0).format == ""


PROVIDERS = st.sampled_from(("local", "whisper_cpp", "openai", "elevenlabs", "siri"))
SOME_PROVIDERS = st.lists(PROVIDERS, max_size=2, unique=True).map(tuple)
LANGUAGES = st.sampled_from(("", "de", "zh"))
RULES = st.lists(
    st.builds(
        Rule,
        st.just("r"),
        PROVIDERS,
        workers=st.sampled_from(("", "gpu")),
        priority=st.integers(-2, 2),
        larger_than_mb=st.sampled_from((0.0, 1.0, 50.0)),
        languages=st.sampled_from(((), ("de",), ("fr", "zh"))),
        job_priorities=st.sampled_from(((), (1,), (2, 3))),
        tags=st.sampled_from(((), ("a",), ("b", "c"))),
        healthy=SOME_PROVIDERS,
        unhealthy=SOME_PROVIDERS,
        max_dollars=st.sampled_from((0.0, 0.01, 1.0)),
        budget_left_above_dollars=st.sampled_from((0.0, 0.5)),
    ),
    max_size=6,
)
STANDINGS = st.dictionaries(
    PROVIDERS,
    st.builds(
        Standing,
        st.sampled_from(("", "", "no key")),
        st.sampled_from(("", "", "down")),
        st.booleans(),
        st.sampled_from((0.0, 0.006, 0.1)),
    ),
)
FACTS = st.builds(
    Facts,
    st.integers(1, 10**9),
    st.sampled_from((0.0, 30.0, 6000.0)),
    LANGUAGES,
    priority=st.integers(1, 5),
    translate=st.booleans(),
    user=st.just("anna"),
    dollars=st.sampled_from((math.inf, 0.0, 0.5)),
    tags=st.sampled_from(((), ("a",), ("b", "d"))),
    budget_dollars=st.sampled_from((math.inf, 0.0, 5.0)),
    detects=st.booleans(),
)
KINDS = st.sampled_from((frozenset(), frozenset({"gpu"})))


def may_ask(facts: Facts, standing: Standing | None) -> bool:
    """Whether a provider can be asked for a file at all, told in other words than the plan's."""
    if standing is None or standing.missing or (facts.translate and not standing.translates):
        return False
    if facts.dollars == math.inf or not standing.dollars_per_minute:
        return True
    return facts.seconds > 0 and standing.dollars_per_minute * facts.seconds / 60 <= facts.dollars


@given(FACTS, RULES, st.lists(PROVIDERS, max_size=6), STANDINGS, KINDS)
def test_no_plan_repeats_itself_or_asks_whom_it_cannot(
    facts: Facts, rules: list[Rule], chain: list[str], standings: dict[str, Standing], kinds: frozenset[str]
) -> None:
    made = make_plan(facts, rules, chain, standings, kinds)

    assert made == make_plan(facts, rules, chain, standings, kinds)
    asked = [(choice.provider, choice.workers) for choice in made.choices]
    assert len(set(asked)) == len(asked)
    for choice in made.choices:
        assert may_ask(facts, standings.get(choice.provider))
        assert choice.workers in kinds | {""}
    troubles = [bool(standings[choice.provider].trouble) for choice in made.choices]
    assert all(before <= after for before, after in pairwise(troubles)), "one in trouble is asked before a well one"
    usable = {name for name in chain if may_ask(facts, standings.get(name))}
    assert usable <= set(names(made)), "who is in the chain and can be asked is asked"


@settings(max_examples=50)
@given(FACTS, RULES, STANDINGS, KINDS)
def test_the_rule_that_decides_is_the_first_that_holds(
    facts: Facts, rules: list[Rule], standings: dict[str, Standing], kinds: frozenset[str]
) -> None:
    made = make_plan(facts, rules, (), standings, kinds)

    assert all(one.why_not for one in made.looked[:-1])
    assert [one.rule for one in made.looked] == sorted(rules, key=lambda rule: -rule.priority)[: len(made.looked)]
    if not made.choices:
        assert len(made.looked) == len(rules)
        return
    rule = made.looked[-1].rule
    assert names(made) == [rule.provider]
    assert not standings[rule.provider].trouble
    assert not rule.tags or set(rule.tags) & set(facts.tags)
    assert not rule.languages or facts.language in rule.languages
    assert all(not standings[name].missing and not standings[name].trouble for name in rule.healthy)
    assert all(not standings[name].missing and standings[name].trouble for name in rule.unhealthy)
    assert facts.budget_dollars > rule.budget_left_above_dollars or not rule.budget_left_above_dollars
    price = standings[rule.provider].dollars_per_minute * facts.seconds / 60
    assert not rule.max_dollars or price <= rule.max_dollars
    assert facts.seconds or not standings[rule.provider].dollars_per_minute or not rule.max_dollars


@settings(max_examples=50)
@given(FACTS, RULES, STANDINGS, KINDS, st.sampled_from(("de", "fr", "zh")))
def test_nobody_listens_for_a_language_that_changes_nothing(
    facts: Facts, rules: list[Rule], standings: dict[str, Standing], kinds: frozenset[str], language: str
) -> None:
    unknown = replace(facts, language="")
    without = make_plan(unknown, rules, DEFAULT_CHAIN, standings, kinds)
    if not needs_language(unknown, rules, standings, kinds):
        heard = make_plan(replace(facts, language=language), rules, DEFAULT_CHAIN, standings, kinds)
        assert heard.choices == without.choices
