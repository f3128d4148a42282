from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from v2t.cli.config import group
from v2t.config import load_file
from v2t.domain.selection import ENGINES, SERVICES, Rule
from v2t.providers.table import LOCAL_PROVIDERS, REMOTE_PROVIDERS

RULE = '[[selection.rules]]\nname = "r"\nprovider = "openai"\n'
NAMES = "local, faster_whisper, whisper_cpp, openai, elevenlabs, whisper_server, custom_http, ssh_whisper"

Validate = Callable[[str], Result]


@pytest.fixture
def validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Validate:
    """`v2t config validate` of a file with that text."""
    for name in [name for name in os.environ if name.upper().startswith("V2T_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def validate(text: str) -> Result:
        Path("v2t.toml").write_text(text, encoding="utf-8")
        return CliRunner().invoke(group, ["validate", "v2t.toml"])

    return validate


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('languagez = ["de"]', "4: there is no selection.rules 1.languagez; did you mean languages?"),
        ("when = 3", "4: there is no selection.rules 1.when; there are name, provider, model, workers, priority,"),
        ('priority = "50"', "4: selection.rules 1.priority: Input should be a valid integer"),
        ("priority = true", "4: selection.rules 1.priority: Input should be a valid integer"),
        ('workers = "tpu"', "4: selection.rules 1.workers: Input should be '', 'cpu', 'gpu', 'memory' or 'remote'"),
        ("smaller_than_mb = 0", "4: selection.rules 1.smaller_than_mb: Input should be greater than 0"),
        ("larger_than_mb = -1", "4: selection.rules 1.larger_than_mb: Input should be greater than or equal to 0"),
        ("max_dollars = nan", "4: selection.rules 1.max_dollars: Input should be a finite number"),
        ("max_dollars = 0", "4: selection.rules 1.max_dollars: Input should be greater than 0"),
        (
            "larger_than_mb = 5\nsmaller_than_mb = 5.0",
            "1: selection.rules 1: larger_than_mb is not below smaller_than_mb, so no file meets both",
        ),
        (
            "longer_than_minutes = 6\nshorter_than_minutes = 5",
            "1: selection.rules 1: longer_than_minutes is not below shorter_than_minutes, so no file meets both",
        ),
        ('users = "press"', '4: selection.rules 1.users: it is a list, such as ["press"]'),
        ("users = [3]", "4: selection.rules 1.users 1: Input should be a valid string"),
        ('users = ["anna", " "]', "4: selection.rules 1.users: a name in it is empty"),
        ('formats = ["mp3", ".MP3"]', "4: selection.rules 1.formats: mp3 stands in it twice"),
        ('languages = ["klingon"]', "4: selection.rules 1.languages: 'klingon' is not a language Whisper knows"),
        ('languages = ["auto"]', "4: selection.rules 1.languages: auto is no language"),
        ('languages = ["de", "German"]', "4: selection.rules 1.languages: de stands in it twice"),
        ("job_priorities = [1, 9]", "4: selection.rules 1.job_priorities 2: Input should be less than or equal to 5"),
        (
            'tags = ["Court"]',
            "4: selection.rules 1.tags: 'Court' is no tag; a tag is a word of at most 40 small letters",
        ),
        ('tags = ["court", "court"]', "4: selection.rules 1.tags: court stands in it twice"),
        ('healthy = ["siri"]', f"4: selection.rules 1.healthy: there is no provider siri; there are {NAMES}"),
        (
            'healthy = ["local"]\nunhealthy = ["local"]',
            "1: selection.rules 1: local cannot be both healthy and unhealthy",
        ),
        ('unhealthy = ["openai"]', "1: selection.rules 1: openai is not asked first while it is unhealthy"),
        ("budget_left_above_dollars = -1", "4: selection.rules 1.budget_left_above_dollars: Input should be greater"),
        ('\n[[selection.rules]]\nname = "s"', "5: selection.rules 2.provider: Field required"),
        (
            '\n[[selection.rules]]\nprovider = "local"\nname = "r"',
            "7: selection.rules 2.name: rule 1 has this name too",
        ),
    ],
)
def test_a_broken_rule_is_refused_with_its_place(validate: Validate, more: str, complaint: str) -> None:
    outcome = validate(RULE + more)
    assert outcome.exit_code == 3
    assert outcome.stderr.startswith(f"v2t: v2t.toml:{complaint}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[selection.rules]]\nname = " "\nprovider = "local"', "2: selection.rules 1.name: it is empty"),
        (
            '[[selection.rules]]\nname = "r"\nprovider = "siri"',
            f"3: selection.rules 1.provider: there is no provider siri; there are {NAMES}",
        ),
        (
            '[selection]\n\nchain = ["local", "siri"]',
            f"3: selection.chain: there is no provider siri; there are {NAMES}",
        ),
        ('[selection]\nchain = ["local", "openai", "local"]', "2: selection.chain: local stands in it twice"),
        (
            "[selection]\nmonthly_dollars = 20\n" + RULE + "budget_left_above_dollars = 20",
            "6: selection.rules 1.budget_left_above_dollars: so much is never left of selection.monthly_dollars, which",
        ),
        ('[selection]\nrules = "all"', "2: selection.rules: rules stand in a file, as [[selection.rules]]"),
        ('[selection]\ndetect_language = "perhaps"', "2: selection.detect_language: Input should be a valid boolean"),
    ],
)
def test_a_broken_section_is_refused_with_its_place(validate: Validate, text: str, complaint: str) -> None:
    outcome = validate(text)
    assert outcome.exit_code == 3
    assert outcome.stderr.startswith(f"v2t: v2t.toml:{complaint}")


def test_a_rule_with_every_condition_is_read_as_it_was_meant(tmp_path: Path) -> None:
    conditions = """
        model = "gpt-4o-transcribe"
        workers = "remote"
        priority = 60
        larger_than_mb = 1
        smaller_than_mb = 2.5
        longer_than_minutes = 0
        shorter_than_minutes = 90
        languages = ["German", "pt-BR"]
        formats = [".MP3", "wav"]
        users = ["press"]
        job_priorities = [1, 2]
        tags = ["court", "访谈"]
        healthy = ["openai", "local"]
        unhealthy = ["elevenlabs"]
        max_dollars = 0.5
        budget_left_above_dollars = 2
    """
    (tmp_path / "v2t.toml").write_text(RULE + conditions, encoding="utf-8")
    (rule,) = load_file(tmp_path / "v2t.toml").selection.rules
    assert rule.as_rule() == Rule(
        name="r",
        provider="openai",
        model="gpt-4o-transcribe",
        workers="remote",
        priority=60,
        larger_than_mb=1,
        smaller_than_mb=2.5,
        shorter_than_minutes=90,
        languages=("de", "pt"),
        formats=("mp3", "wav"),
        users=("press",),
        job_priorities=(1, 2),
        tags=("court", "访谈"),
        healthy=("openai", "local"),
        unhealthy=("elevenlabs",),
        max_dollars=0.5,
        budget_left_above_dollars=2,
    )


def test_the_providers_that_rules_may_name_are_those_there_are() -> None:
    assert ("local", *LOCAL_PROVIDERS) == ENGINES
    assert tuple(REMOTE_PROVIDERS) == SERVICES
