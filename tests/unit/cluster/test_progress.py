from __future__ import annotations

import json
from typing import Any

import pytest

from v2t.cluster.progress import Run, failure_message


def _start(name: str) -> str:
    return json.dumps({"_event": "v2_playbook_on_task_start", "task": {"name": name}, "hosts": {}})


def _result(event: str, name: str, **hosts: dict[str, Any]) -> str:
    return json.dumps({"_event": f"v2_runner_on_{event}", "task": {"name": name}, "hosts": hosts})


def _stats(**hosts: dict[str, int]) -> str:
    none = {"ok": 0, "changed": 0, "failures": 0, "unreachable": 0, "skipped": 0}
    return json.dumps({"_event": "v2_playbook_on_stats", "stats": {name: none | some for name, some in hosts.items()}})


def test_a_role_on_a_host_is_done_when_another_role_begins() -> None:
    run = Run()
    for now, line in enumerate(
        [
            _start("redis : Install it"),
            _result("ok", "redis : Install it", m2={"changed": True}, m3={"changed": False}),
            _start("redis : Start it"),
            _result("skipped", "redis : Start it", m2={}),
            _start("minio : Install it"),
        ]
    ):
        run.feed(line, float(now))

    done = {entry.host: entry for entry in run.finish()}
    assert (done["m2"].role, done["m2"].ok, done["m2"].changed, done["m2"].seconds) == ("redis", 1, 1, 3.0)
    assert (done["m3"].ok, done["m3"].changed, done["m3"].seconds) == (1, 0, 1.0)
    assert run.finish() == []
    assert (run.role, run.task) == ("minio", "Install it")


def test_a_role_takes_all_the_time_until_another_begins_in_all_its_turns() -> None:
    run = Run()
    for now, name in enumerate(["redis : Install it", "pki : Sign it", "redis : Start it", "redis : Wait for it"]):
        run.feed(_start(name), float(now))
    run.feed(_stats(m2={"ok": 4}), 10.0)

    assert run.seconds == {"redis": 1.0 + 8.0, "pki": 1.0}


def test_tasks_outside_a_role_go_by_their_play() -> None:
    run = Run()
    run.feed(json.dumps({"_event": "v2_playbook_on_play_start", "play": {"name": "Make the authority"}}), 0.0)
    run.feed(_start("Make it"), 0.0)

    assert (run.role, run.task) == ("Make the authority", "Make it")


def test_only_hosts_that_were_given_up_are_failures() -> None:
    run = Run()
    run.feed(_start("redis : Look"), 0.0)
    run.feed(_result("failed", "redis : Look", m2={"msg": "expected"}, m3={"msg": "no such unit"}), 1.0)
    run.feed(_result("unreachable", "redis : Look", m4={"msg": "connection refused"}), 1.0)
    run.feed(_stats(m2={"ok": 1}, m3={"failures": 1}, m4={"unreachable": 1}), 2.0)

    assert [(str(failure), failure.unreachable) for failure in run.failures()] == [
        ("m3: redis : Look: no such unit", False),
        ("m4: redis : Look: connection refused", True),
    ]


@pytest.mark.parametrize("line", ["[WARNING]: old\n", "{not json", "[]", '{"other": 1}', ""])
def test_what_is_not_an_event_changes_nothing(line: str) -> None:
    run = Run()

    assert run.feed(line, 1.0) is None
    assert run == Run()


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"msg": "no package\n  of this name"}, "no package of this name"),
        ({"msg": "non-zero return code", "rc": 3, "stderr": "a\nbad\n"}, "bad (exit code 3)"),
        ({"msg": "non-zero return code", "rc": 3, "stdout": "out"}, "out (exit code 3)"),
        ({"msg": "MODULE FAILURE: see", "module_stderr": "a\nKeyError: 1\n", "rc": 1}, "KeyError: 1 (exit code 1)"),
        ({"censored": "hidden", "msg": "x"}, "it failed, and its output is hidden because it holds secrets"),
        ({"msg": "x", "results": [{"item": 1}, {"item": 2, "failed": True, "msg": "bad"}]}, "bad (item 2)"),
        ({"msg": "no way", "extract_results": {"err": "tar: x: No such\ntar: exiting\n"}}, "no way: tar: x: No such"),
        ({"msg": "no", "extract_results": {"err": "tar: Wrote 1\ntar: x: No space left"}}, "no: tar: x: No space left"),
        ({}, "it failed"),
    ],
)  # fmt: skip
def test_a_failure_says_why_in_one_line(details: dict[str, Any], message: str) -> None:
    assert failure_message(details) == message
