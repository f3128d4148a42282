from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from v2t import development_server
from v2t.development_server import server_command, server_environment
from v2t.domain.errors import ServerNotInstalled
from v2t.domain.search import SEARCH_ATTRIBUTES


def options(command: list[str], name: str) -> list[str]:
    return [value for option, value in pairwise(command) if option == name]


def test_it_reads_the_list_of_search_attributes_once_and_not_at_every_step() -> None:
    command = server_command("v2t", Path("/d/temporal.db"), 7233, 0)
    assert "system.forceSearchAttributesCacheRefreshOnRead=false" in options(command, "--dynamic-config-value")
    assert {each.split("=")[0] for each in options(command, "--search-attribute")} == set(SEARCH_ATTRIBUTES)


def test_users_take_turns_in_queues_of_one_part() -> None:
    settings = options(server_command("v2t", Path("/d/temporal.db"), 7233, 0), "--dynamic-config-value")
    assert {
        "matching.enableFairness=true",
        "matching.numTaskqueueReadPartitions=1",
        "matching.numTaskqueueWritePartitions=1",
    } <= set(settings)


def test_it_listens_on_loopback_only() -> None:
    command = server_command("v2t", Path("/d/temporal.db"), 7233, 8233)
    assert options(command, "--ip") == ["127.0.0.1"]
    assert "--headless" not in command
    assert "--headless" in server_command("v2t", Path("/d/temporal.db"), 7233, 0)


def test_a_single_file_costs_less_memory_than_many() -> None:
    assert int(server_environment(busy=False)["GOGC"]) < int(server_environment(busy=True)["GOGC"])


def test_it_asks_nobody_for_news() -> None:
    assert server_environment(busy=True)["TEMPORAL_VERSION_CHECK_DISABLED"] == "1"


def test_without_the_program_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(development_server, "find_program", lambda: None)
    with pytest.raises(ServerNotInstalled):
        server_command("v2t", Path("/d/temporal.db"), 7233, 0)
