"""What playbooks/doctor.yml found on the hosts, as findings that an operator reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from v2t.cluster.progress import Failure

_VECTORS = ("avx2", "asimd")
"""Of amd64 and of arm64: what speech engines are quick with."""

_VOLATILE = frozenset({"tmpfs", "ramfs"})
_REMOTE = ("nfs", "cifs", "fuse", "9p", "smb")
_SUBJECTS = ("system", "memory", "clock", "ports", "variables", "programs")
"""Of the preflight; its `disk` is told with the drives."""

_ADVICE = {
    "host key verification failed": "log in once by hand, and compare the key that it shows with the host's",
    "permission denied": "`ssh-copy-id` puts your key there; ansible_user is who logs in",
    "refused": "start SSH there, or set ansible_port",
    "could not resolve": "set ansible_host to its address",
}
_OF_ANSIBLE = "Failed to connect to the host via ssh: "
_OTHER_ADVICE = "see that it is on, that ansible_host is its address, and that the network leads there"


class Health(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing on one host."""

    host: str
    subject: str
    health: Health
    text: str
    """What is so; where it is not well, with the next step."""
    is_unreachable: bool = False


def find(told: Mapping[str, Mapping[str, Any]], failures: Sequence[Failure]) -> list[Finding]:
    """Everything about all hosts, in their order.

    Args:
        told: host → what the playbook said of it.
        failures: of hosts that it was not done with.
    """
    found: list[Finding] = []
    for failure in failures:
        subject = "ssh" if failure.unreachable else "root"
        text = _unreached(failure.message) if failure.unreachable else _without_host(failure.host, failure.message)
        found.append(Finding(failure.host, subject, Health.FAILED, text, failure.unreachable))
    for host, data in told.items():
        found += _examine(host, data)
    return sorted(found, key=lambda finding: finding.host)


def _unreached(message: str) -> str:
    advice = next((text for mark, text in _ADVICE.items() if mark in message.lower()), _OTHER_ADVICE)
    return f"{message.removeprefix(_OF_ANSIBLE).rstrip('. ')}; {advice}"


def _without_host(host: str, message: str) -> str:
    return message.partition(f"{host}: ")[2] or message


def _examine(host: str, data: Mapping[str, Any]) -> Iterator[Finding]:
    answers = [list(map(str, answer)) for answer in data["answers"]]
    facts = {answer[0]: answer[1:] for answer in answers if len(answer) > 1}
    wrong = [str(finding).partition(" ")[::2] for finding in data["findings"]]
    yield Finding(host, "ssh", Health.OK, "reached, and the account may act as root")
    for subject in _SUBJECTS:
        yield from _preflight(host, subject, wrong, _describe(subject, facts, data["ports"]))
    yield from _drives(host, answers, wrong)
    yield Finding(host, "cpu", Health.OK, _cpu(facts))
    gpus = [" ".join(answer[2:]) for answer in answers if answer[0] == "gpu"]
    yield Finding(host, "gpu", Health.OK, ", ".join(gpus) or "none, and none is needed")
    peers = sorted(answer[1:] for answer in answers if answer[0] == "peer")
    if peers:
        yield from _names(host, peers, is_deployed="deployed" in facts)
        yield from _network(host, peers)


def _preflight(host: str, subject: str, wrong: Sequence[Sequence[str]], text: str) -> Iterator[Finding]:
    failed = [_without_host(host, sentence) for about, sentence in wrong if about == subject]
    for sentence in failed:
        yield Finding(host, subject, Health.FAILED, sentence)
    if not failed:
        yield Finding(host, subject, Health.OK, text)


def _describe(subject: str, facts: Mapping[str, Sequence[str]], ports: Sequence[int]) -> str:
    if subject == "system":
        return f"{facts['distribution'][0]} {facts['release'][0]}, {facts['machine'][0]}, with systemd and python3"
    return {
        "memory": f"{int(facts['memory_mib'][0]) / 1024:.1f} GiB",
        "clock": "as this machine's",
        "ports": f"free or ours: {', '.join(map(str, ports))}" if ports else "none is needed",
        "variables": "all are set",
        "programs": "all that it needs are gathered",
    }[subject]


def _drives(host: str, answers: Sequence[Sequence[str]], wrong: Sequence[Sequence[str]]) -> Iterator[Finding]:
    drives = [answer[1:] for answer in answers if answer[0] == "drive"]
    text = ", ".join(f"{folder} {int(free) / 1024:.0f} GiB free ({kind})" for folder, kind, _size, free in drives)
    findings = list(_preflight(host, "disk", wrong, text))
    for folder, kind, *_ in drives:
        if kind in _VOLATILE:
            what = f"{folder} is in memory ({kind}), and empty after a reboot; mount a drive there"
            findings.append(Finding(host, "disk", Health.FAILED, what))
        elif kind.startswith(_REMOTE):
            what = f"{folder} is on another machine ({kind}), where databases are slow and unsafe; mount a drive there"
            findings.append(Finding(host, "disk", Health.WARNING, what))
    yield from findings


def _cpu(facts: Mapping[str, Sequence[str]]) -> str:
    flags = facts.get("flags", ())
    said = " ".join(sorted(flags)) or "no vector instructions that count"
    slow = "" if set(flags) & set(_VECTORS) else "; speech engines are slow without avx2 (amd64) or asimd (arm64)"
    return f"{facts['cores'][0]} cores, {said}{slow}"


def _names(host: str, peers: Sequence[Sequence[str]], *, is_deployed: bool) -> Iterator[Finding]:
    wrong = [
        f"{name} is {found if found != '-' else 'unknown'}" for name, address, found, *_ in peers if found != address
    ]
    if not wrong:
        yield Finding(host, "names", Health.OK, "the other hosts are known by name")
    elif is_deployed:
        text = f"{', '.join(wrong)}; `v2t cluster deploy --tags base` writes /etc/hosts"
        yield Finding(host, "names", Health.FAILED, text)
    else:
        yield Finding(host, "names", Health.OK, "not needed yet: deploying writes /etc/hosts")


def _network(host: str, peers: Sequence[Sequence[str]]) -> Iterator[Finding]:
    by_result: dict[str, list[str]] = {}
    for name, address, _found, _device, mtu, result in peers:
        by_result.setdefault(result, []).append(f"{name} ({address})" if result != "small" else f"{name} ({mtu} bytes)")
    if lost := by_result.get("no", []) + by_result.get("without-ping", []):
        text = f"does not reach {', '.join(lost)}; see v2t_address, and routes and firewalls between them"
        yield Finding(host, "network", Health.FAILED, text)
    if small := by_result.get("small"):
        text = f"packets of the interface's size do not come to {', '.join(small)}; set one MTU on all hosts"
        yield Finding(host, "network", Health.WARNING, text)
    if unsure := by_result.get("tcp"):
        text = (
            f"reaches {', '.join(unsure)}; the size of packets is not known, as there is no ping or none comes through"
        )
        yield Finding(host, "network", Health.OK, text)
    if whole := by_result.get("whole"):
        sizes = sorted({mtu for *_, mtu, result in peers if result == "whole"})
        yield Finding(host, "network", Health.OK, f"reaches {', '.join(whole)}, MTU {', '.join(sizes)}")
