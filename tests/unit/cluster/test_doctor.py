from __future__ import annotations

from typing import Any

import pytest

from v2t.cluster.doctor import Finding, Health, find
from v2t.cluster.progress import Failure

_ANSWERS = """
distribution debian
release 12
machine x86_64
memory_mib 2048
cores 2
flags avx avx2 fma
drive /var/lib ext4 200000 102400
drive /opt ext4 200000 51200
peer m2 10.0.0.2 10.0.0.2 eth0 1500 whole
"""


def _told(answers: str = "", *findings: str) -> dict[str, dict[str, Any]]:
    lines = (_ANSWERS + answers).strip().splitlines()
    return {"m4-1": {"answers": [line.split() for line in lines], "findings": findings, "ports": [8081]}}


def _of(subject: str, findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.health.value, finding.text) for finding in findings if finding.subject == subject]


def test_a_healthy_host_has_a_line_for_each_thing_that_was_looked_at() -> None:
    found = find(_told(), [])

    assert {finding.health for finding in found} == {Health.OK}
    assert {finding.subject: finding.text for finding in found} == {
        "ssh": "reached, and the account may act as root",
        "system": "debian 12, x86_64, with systemd and python3",
        "memory": "2.0 GiB",
        "clock": "as this machine's",
        "ports": "free or ours: 8081",
        "variables": "all are set",
        "programs": "all that it needs are gathered",
        "disk": "/var/lib 100 GiB free (ext4), /opt 50 GiB free (ext4)",
        "cpu": "2 cores, avx avx2 fma",
        "gpu": "none, and none is needed",
        "names": "the other hosts are known by name",
        "network": "reaches m2 (10.0.0.2), MTU 1500",
    }


def test_what_the_preflight_refuses_has_failed() -> None:
    findings = find(
        _told("", "memory m4-1: has 900 MiB; give it more.", "ports m4-1: port 1 is held.", "ports m4-1: port 2 too."),
        [],
    )

    assert _of("memory", findings) == [("failed", "has 900 MiB; give it more.")]
    assert _of("ports", findings) == [("failed", "port 1 is held."), ("failed", "port 2 too.")]
    assert _of("clock", findings) == [("ok", "as this machine's")]


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("Host key verification failed.", "log in once by hand"),
        ("a@10.0.0.2: Permission denied (publickey).", "`ssh-copy-id`"),
        ("connect to host 10.0.0.2 port 22: Connection timed out", "see that it is on"),
    ],
)
def test_a_host_that_is_not_reached_says_why_and_what_to_do(message: str, advice: str) -> None:
    said = f"Failed to connect to the host via ssh: {message}"
    (finding,) = find({}, [Failure("m2", "preflight : Look", said, unreachable=True)])

    assert (finding.subject, finding.health, finding.is_unreachable) == ("ssh", Health.FAILED, True)
    assert finding.text.startswith(message.rstrip("."))
    assert advice in finding.text


def test_an_account_without_sudo_is_told_by_itself() -> None:
    (finding,) = find({}, [Failure("m2", "Refuse", "m2: the account of the inventory may not act as root")])

    assert (finding.subject, finding.text) == ("root", "the account of the inventory may not act as root")


def test_drives_that_lose_or_endanger_data_are_told() -> None:
    findings = find(_told("drive /mnt tmpfs 100 50\ndrive /srv nfs4 100 50\n"), [])

    assert [health for health, _ in _of("disk", findings)] == ["ok", "failed", "warning"]


def test_names_count_once_a_host_is_deployed() -> None:
    unknown = "peer m4-2 10.0.0.42 - eth0 1500 whole\npeer m4-3 10.0.0.43 127.0.1.1 eth0 1500 whole\n"

    assert _of("names", find(_told(unknown), [])) == [("ok", "not needed yet: deploying writes /etc/hosts")]
    assert _of("names", find(_told(unknown + "deployed yes\n"), [])) == [
        ("failed", "m4-2 is unknown, m4-3 is 127.0.1.1; `v2t cluster deploy --tags base` writes /etc/hosts")
    ]


def test_packets_that_do_not_come_through_are_told_apart() -> None:
    peers = """peer a 10.0.0.3 10.0.0.3 eth0 9000 small
peer b 10.0.0.4 10.0.0.4 eth0 1500 no
peer c 10.0.0.5 10.0.0.5 eth0 1500 tcp
"""
    found = dict(_of("network", find(_told(peers), [])))

    assert found["failed"].startswith("does not reach b (10.0.0.4); ")
    assert found["warning"].startswith("packets of the interface's size do not come to a (9000 bytes); ")
    assert found["ok"] == "reaches m2 (10.0.0.2), MTU 1500"


def test_processors_and_gpus_are_told_and_required_of_nobody() -> None:
    slow = _ANSWERS.replace("flags avx avx2 fma", "flags")
    told: dict[str, dict[str, Any]] = {
        "m": {"answers": [line.split() for line in slow.split("\n") if line], "findings": [], "ports": []}
    }
    told["m"]["answers"].append(["gpu", "nvidia-smi", "NVIDIA", "A2,", "16", "MiB"])
    findings = find(told, [])

    assert [health for health, _ in (*_of("cpu", findings), *_of("gpu", findings))] == ["ok", "ok"]
    assert "slow without avx2" in _of("cpu", findings)[0][1]
    assert _of("gpu", findings)[0][1] == "NVIDIA A2, 16 MiB"
