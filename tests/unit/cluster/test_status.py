from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from v2t.cluster import status
from v2t.cluster.hosts import Answer, Host
from v2t.cluster.lock import read_lock
from v2t.cluster.status import HostState, ProgramState, UnitState, ago, find_faults, look, parse_status

_LOCK = read_lock()
_WORKER = Host("m4-1", ("v2t", "workers"), is_local=True)
_FACTS = f"""now 1000000000
monotonic 5000.25
load 0.50 0.40 0.30 2
memory 8388608 4194304
disk / 1000 500
disk /var/lib 2000 10
release 0.1.0-abc
program /opt/v2t/minio/v9/minio
program /opt/v2t/temporal/{_LOCK.find("temporal").version}/temporal-server
certificate /etc/v2t/ca.crt 1086400000
certificate /etc/v2t/tls/worker.crt 1000864000
"""
_UNIT = """Id={name}.service
LoadState={load}
ActiveState={active}
SubState={sub}
UnitFileState={file}
NRestarts={restarts}
StateChangeTimestampMonotonic={changed}
"""


def _block(name: str, active: str = "active", sub: str = "running", **changes: str) -> str:
    facts = {"load": "loaded", "file": "enabled", "restarts": "0", "changed": "4000250000"} | changes
    return _UNIT.format(name=name, active=active, sub=sub, **facts)


def _parse(*blocks: str, host: Host = _WORKER) -> HostState:
    return parse_status(host, Answer("m4-1", 0, _FACTS + "\n".join(blocks)), _LOCK)


def test_what_a_host_says_of_itself_is_read() -> None:
    state = _parse(_block("v2t-worker@1", restarts="3"), _block("v2t-worker@2"))

    assert state.units == (
        UnitState("v2t-worker@1", "active", "running", 1000.0, 3),
        UnitState("v2t-worker@2", "active", "running", 1000.0, 0),
    )
    assert (state.release, state.load, state.cores) == ("0.1.0-abc", 0.5, 2)
    assert state.certificates == {"ca": 1000.0, "worker": 10.0}
    assert state.disks == {"/": (1024000, 512000), "/var/lib": (2048000, 10240)}
    assert (state.memory_bytes, state.memory_free_bytes) == (8 << 30, 4 << 30)
    assert [(program.name, program.drifts) for program in state.programs] == [("minio", True), ("temporal", False)]


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        (_block("v2t-worker@1"), ""),
        (_block("v2t-worker@1", "inactive", "dead"), "inactive"),
        (_block("v2t-worker@1", "failed", "failed"), "failed"),
        (_block("v2t-worker@1", "activating", "auto-restart"), "activating (auto-restart)"),
        (_block("v2t-worker@1", "inactive", "dead", file="disabled"), "inactive"),
        (_block("v2t-worker@1", "inactive", "dead", file="", load="not-found"), "missing"),
    ],
)
def test_a_unit_that_does_not_run_is_a_fault(block: str, fault: str) -> None:
    (unit,) = _parse(block).units

    assert unit.fault == fault


def test_a_unit_that_changed_while_it_was_asked_has_just_changed() -> None:
    (unit,) = _parse(_block("v2t-worker@1", active="deactivating", changed="5001250000")).units
    assert ago(unit.since_seconds) == "0 s"


def test_a_service_of_the_groups_that_is_not_there_is_missing_and_one_that_came_by_itself_is_not_shown() -> None:
    host = replace(_WORKER, groups=("v2t", "redis", "postgresql"))
    units = _parse(_block("redis-server"), _block("haproxy", "inactive", "dead", file="disabled"), host=host).units

    assert [(unit.name, unit.state) for unit in units] == [("redis-server", "active"), ("postgresql@*", "missing")]
    assert [unit.name for unit in _parse().units] == ["v2t-worker@*"]


def test_what_another_unit_starts_is_shown_only_when_it_failed() -> None:
    rests = _block("v2t-backup", "inactive", "dead", file="static")
    runs = _block("v2t-units@0", "activating", "start", file="static")
    failed = _block("v2t-backup", "failed", "failed", file="static")
    timer = _block("x", "active", "waiting").replace("x.service", "v2t-backup.timer").replace("NRestarts=0\n", "")
    worker = _block("v2t-worker@1")

    assert [unit.name for unit in _parse(rests, runs, timer, worker).units] == ["v2t-backup.timer", "v2t-worker@1"]
    assert [unit.fault for unit in _parse(failed, timer, worker).units] == ["failed", "", ""]


def test_a_host_that_scales_lacks_no_worker_that_it_may_run_besides() -> None:
    extra, scale = _block("v2t-worker@2", "inactive", "dead", file="disabled"), _block("v2t-scale")
    assert [unit.name for unit in _parse(_block("v2t-worker@1"), extra, scale).units] == ["v2t-worker@1", "v2t-scale"]
    assert [(unit.name, unit.state) for unit in _parse(extra, scale).units] == [
        ("v2t-scale", "active"),
        ("v2t-worker@*", "missing"),
    ]


def test_a_host_that_is_drained_lacks_no_worker() -> None:
    host = replace(_WORKER, is_drained=True)
    ended = _parse(_block("v2t-worker@1", "inactive", "dead", file="disabled"), host=host).units
    ends = _parse(_block("v2t-worker@1", "deactivating", "stop-sigterm"), host=host).units

    assert [(unit.name, unit.state, unit.fault) for unit in ended] == [("v2t-worker@*", "drained", "")]
    assert [(unit.state, unit.fault) for unit in ends] == [("deactivating", "")]


def test_every_fault_is_a_sentence_with_the_next_step() -> None:
    state = HostState(
        "m2",
        (UnitState("haproxy", "failed", "failed"), UnitState("v2t-temporal", "missing")),
        "0.2.0",
        (ProgramState("minio", "v9", "v8"),),
        {"ca": 900.0, "minio": 2.0},
        {"/": (100 << 30, 1 << 30), "/opt": (100 << 30, 50 << 30)},
    )
    others = [HostState(name, release="0.1.0") for name in ("m4-1", "m4-2")]

    assert find_faults([state, *others]) == [
        "m2: haproxy is failed; `v2t cluster logs haproxy --host m2`",
        "m2: v2t-temporal is missing; `v2t cluster deploy` sets it up",
        "m2: minio is v9, and the lock says v8; `v2t cluster deploy` brings it",
        "m2: runs v2t 0.2.0, and most run 0.1.0; `v2t cluster deploy` brings it",
        "m2: the certificate minio ends in 2 days; `v2t cluster deploy` renews it",
        "m2: / has 1.0 GiB free of 100; make space there",
    ]
    assert find_faults(others) == []


def test_the_script_asks_this_machine_as_it_would_any() -> None:
    (found,), lost = look([_WORKER], _LOCK, 30)

    assert lost == []
    assert found.cores > 0
    assert found.memory_bytes > found.memory_free_bytes > 0
    assert found.disks["/"][0] > 0


def test_a_host_that_does_not_answer_or_not_with_a_shell_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Answer("a", 255, stderr="ssh: no route"), Answer("b", 0, "This account is not available\n")]
    monkeypatch.setattr(status, "ask_all", lambda *_arguments, **_options: answers)

    states, lost = look([Host("a"), Host("b")], _LOCK, 1)

    assert states == []
    assert [error.message.partition(";")[0] for error in lost] == ["a: ssh: no route", "b: its shell did not answer:"]


def test_the_script_is_one_that_every_shell_reads() -> None:
    script = Path(status.__file__).with_name("status.sh")

    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "-"), (12.3, "12 s"), (180, "3 min"), (3700, "1 h 1 min"), (90000, "1 d 1 h")],
)
def test_how_long_ago_is_told_shortly(seconds: float, text: str) -> None:
    assert ago(seconds) == text
