from __future__ import annotations

import json

from v2t.cli.cluster_progress import _Board, _Lines, clock, describe
from v2t.cluster.journal import Redaction
from v2t.cluster.progress import RoleOnHost, Run


def _event(name: str, task: str, **details: object) -> str:
    hosts = {"m2": details} if name.startswith("v2_runner") else {}
    return json.dumps({"_event": name, "task": {"name": task}, "hosts": hosts})


def test_a_role_on_a_host_is_one_line() -> None:
    entry = RoleOnHost("redis", "m2", 1.0, 12.0, ok=4, changed=1, failed=1)

    assert describe(entry) == "redis on m2: 4 ok, 1 changed, 1 failed, 11 s"
    assert describe(RoleOnHost("redis\x1b[2J", "m2", 0.0, 0.0)) == "redis\\x1b[2J on m2: 0 ok, 0 s"
    assert clock(3725.9) == "62:05"


def test_a_line_is_told_when_a_role_has_ended_and_differences_at_once_without_secrets() -> None:
    told: list[str] = []
    lines = _Lines(told.append, diff=True, redaction=Redaction(("hush-hush-1",)))
    run = Run()
    for line in (
        _event("v2_playbook_on_task_start", "redis : Configure it"),
        _event("v2_runner_on_ok", "redis : Configure it", changed=True, diff={"prepared": "+\tpassword hush-hush-1"}),
        _event("v2_playbook_on_task_start", "minio : Configure it"),
    ):
        lines.show(run, run.feed(line, 1.0) or ())

    assert told == [
        "m2: redis : Configure it",
        "+       password ***",
        "0:00 redis on m2: 1 ok, 1 changed, 0 s",
    ]


def test_the_board_shows_the_present_task_and_each_host_in_it() -> None:
    board = _Board(lambda _line: None, diff=False, redaction=Redaction())
    assert board.draw().plain == "0:00 starting"
    run = Run()
    for line in (
        _event("v2_playbook_on_task_start", "redis : Install it"),
        _event("v2_runner_on_ok", "redis : Install it"),
        _event("v2_playbook_on_task_start", "redis : Start it"),
    ):
        board.show(run, run.feed(line, 2.0) or ())

    assert board.draw().plain == "0:00 redis: Start it\n     redis on m2: 1 ok, 0 s"
