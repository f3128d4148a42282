from __future__ import annotations

import shlex

from v2t.cluster.logs import journal_command, merge


def _at(second: int) -> str:
    return f"2026-11-26T19:00:0{second}.000001+0000"


def test_the_journal_is_read_with_the_time_before_each_line() -> None:
    words = shlex.split(journal_command("v2t-worker@*.service", lines=20, since="-1h; rm x", follow=True))

    assert words[:2] == ["journalctl", "--quiet"]
    assert {"--output=short-iso-precise", "--utc", "--unit=v2t-worker@*.service", "--lines=20"} <= set(words)
    assert words[-2:] == ["--since=-1h; rm x", "--follow"]
    assert "--lines=all" in journal_command("x.service", lines=None)


def test_lines_of_hosts_are_merged_by_time_and_those_without_one_stay_where_they_are() -> None:
    first = (
        "2026-11-26T19:00:00.000001+0000 v2t[1]: one\n    of two lines\n2026-11-26T19:00:02.000000+0000 v2t[1]: end\n"
    )
    second = "-- Boot 5f0e --\n2026-11-26T19:00:01.000000+0000 v2t[9]: between\n"

    assert [(host, line.split(": ")[-1]) for host, line in merge({"a": first, "b": second})] == [
        ("b", "-- Boot 5f0e --"),
        ("a", "one"),
        ("a", "    of two lines"),
        ("b", "between"),
        ("a", "end"),
    ]
