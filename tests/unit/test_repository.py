"""Promises of the repository that no single module can keep."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "v2t"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

_SHOW_HELP = """
import json, sys
from v2t.cli.main import cli
cli.main(json.loads(sys.argv[1]), prog_name="v2t", standalone_mode=False)
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def _help_modules(*arguments: str) -> set[str]:
    """What a fresh process has imported after showing a help page."""
    shown = subprocess.run(
        [sys.executable, "-c", _SHOW_HELP, json.dumps([*arguments, "--help"])],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Usage: v2t" in shown.stdout
    return set(json.loads(shown.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [(), ("transcribe",), ("jobs", "list"), ("models", "pull"), ("up",)])
def test_help_imports_no_heavy_library(arguments: tuple[str, ...]) -> None:
    heavy = {"temporalio", "pydantic", "sqlalchemy", "alembic", "av", "numpy", "onnxruntime", "faster_whisper"}
    heavy |= {"ctranslate2", "pywhispercpp", "httpx", "rich", "asyncio"} if not arguments else set()
    assert not heavy & _help_modules(*arguments)


def test_help_takes_less_than_a_third_of_a_second_of_computing() -> None:
    assert min(_help_cpu_seconds() for _ in range(3)) < 0.3


def _help_cpu_seconds() -> float:
    """Processor time, which other tests running at the same time do not lengthen as they do the clock's."""
    process = subprocess.Popen([sys.executable, "-m", "v2t", "--help"], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_the_layers_name_every_package_and_module() -> None:
    contract = next(item for item in PROJECT["tool"]["importlinter"]["contracts"] if item["type"] == "layers")
    named = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    there = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }
    assert contract["exhaustive"]
    assert named == there - {"__init__"}


def test_every_package_has_an_init_so_that_the_import_linter_sees_it() -> None:
    modules = (path for path in PACKAGE.rglob("*.py") if path.stem.isidentifier())  # migrations have numbers, not names
    folders = {path.parent for path in modules}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_contributing_draws_every_layer() -> None:
    contract = next(item for item in PROJECT["tool"]["importlinter"]["contracts"] if item["type"] == "layers")
    chart = _code_blocks("CONTRIBUTING.md", "text")[0]
    drawn = [re.findall(r"\w+", line.partition("  ")[0]) for line in chart]
    assert [names for names in drawn if names] == [re.findall(r"\w+", layer) for layer in contract["layers"]]


def test_the_readme_begins_with_two_commands() -> None:
    block = _code_blocks("README.md")[0]
    assert len(block) == 2
    assert block[0].endswith(".venv/bin/v2t transcribe samples/jfk.wav")


def test_the_readme_names_only_targets_that_make_has() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        called = {name for call in re.findall(r"`make ([^`]+)`", text) for name in shlex.split(call) if "=" not in name}
        assert called <= targets, page


_PAGES = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md"))


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def _code_blocks(page: str, language: str = r"\w*") -> list[list[str]]:
    text = (ROOT / page).read_text(encoding="utf-8")
    pattern = rf"^```{language}\n(.*?)^```$"
    return [block.splitlines() for block in re.findall(pattern, text, re.MULTILINE | re.DOTALL)]
