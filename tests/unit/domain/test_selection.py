from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2t.domain.jobs import AudioRef, Choice, TranscribeOptions, TranscribeRequest
from v2t.domain.selection import DEFAULT_CHAIN, DEFAULT_RULES, Facts, Plan, Rule, Standing, facts_of, make_plan

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
    assert plan(replace(FILE, language="en"), rule).choices[0] == Choice("openai", "gpt-4o-transcribe", "", "rule: r")


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
    request = TranscribeRequest(audio, TranscribeOptions(language="de", translate=True), "anna", 2)
    assert facts_of(request, 7.5) == Facts(9, 7.5, "de", "mp3", "anna", 2, translate=True)
    assert facts_of(replace(request, max_dollars=0.25), 0).dollars == 0.25
    for name in ("talk", ".mp3", "talk."):
        assert facts_of(replace(request, audio=replace(audio, name=name)), 0).format == ""


PROVIDERS = st.sampled_from(("local", "whisper_cpp", "openai", "elevenlabs", "siri"))
RULES = st.lists(
    st.builds(
        Rule,
        st.just("r"),
        PROVIDERS,
        workers=st.sampled_from(("", "gpu")),
        priority=st.integers(-2, 2),
        larger_than_mb=st.sampled_from((0.0, 1.0, 50.0)),
        job_priorities=st.sampled_from(((), (1,), (2, 3))),
    ),
    max_size=6,
)
STANDINGS = st.dictionaries(
    PROVIDERS, st.builds(Standing, st.sampled_from(("", "no key")), st.sampled_from(("", "down")), st.booleans())
)
FACTS = st.builds(
    Facts, st.integers(1, 10**9), priority=st.integers(1, 5), translate=st.booleans(), user=st.just("anna")
)


@given(FACTS, RULES, st.lists(PROVIDERS, max_size=6), STANDINGS, st.sampled_from((frozenset(), frozenset({"gpu"}))))
def test_no_plan_repeats_itself_or_asks_whom_it_cannot(
    facts: Facts, rules: list[Rule], chain: list[str], standings: dict[str, Standing], kinds: frozenset[str]
) -> None:
    made = make_plan(facts, rules, chain, standings, kinds)

    assert made == make_plan(facts, rules, chain, standings, kinds)
    asked = [(choice.provider, choice.workers) for choice in made.choices]
    assert len(set(asked)) == len(asked)
    for choice in made.choices:
        standing = standings[choice.provider]
        assert not standing.missing
        assert standing.translates or not facts.translate
        assert choice.workers in kinds | {""}
    troubles = [bool(standings[choice.provider].trouble) for choice in made.choices]
    assert all(before <= after for before, after in pairwise(troubles)), "one in trouble is asked before a well one"
    usable = {name for name in chain if name in standings and not standings[name].missing}
    assert usable - set(names(made)) == {name for name in usable if facts.translate and not standings[name].translates}
