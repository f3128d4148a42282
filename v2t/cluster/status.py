"""What the hosts of a cluster run, and what is wrong with that: the answers of status.sh, read by pure functions."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from v2t.cluster.hosts import Answer, Host, ask_all, unreachable
from v2t.cluster.lock import Lock
from v2t.cluster.units import SERVICES, WORKERS, of_groups, service_of
from v2t.domain.errors import HostUnreachable

CERTIFICATE_DAYS = 14
"""Days before its end from which a certificate is a fault: deploying renews it 30 days before."""

DISK_FREE = 0.05
"""Part of a file system below which its free space is a fault."""

_DAY_SECONDS = 86400
_MOMENT_SECONDS = 0.1
"""Of a unit that changed after its host had read the clock."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit on a host."""

    name: str
    state: str
    """As systemd says: active, inactive, failed, activating …; or missing."""
    detail: str = ""
    since_seconds: float = 0.0
    restarts: int = 0
    is_wanted: bool = True
    """Whether it is meant to run; the workers of a host that is drained are not."""

    @property
    def fault(self) -> str:
        """What is wrong with it; empty: nothing."""
        if self.state == "active" or not self.is_wanted:
            return ""
        return self.state if self.detail in {"", "dead", self.state} else f"{self.state} ({self.detail})"


@dataclass(frozen=True, slots=True)
class ProgramState:
    """A third-party program in use."""

    name: str
    version: str
    locked: str
    """The version that the lock says; empty: it has none of this name."""

    @property
    def drifts(self) -> bool:
        """Whether it is not the one of the lock."""
        return self.version != self.locked


@dataclass(frozen=True, slots=True)
class HostState:
    """All that is known of a host."""

    host: str
    units: Sequence[UnitState] = ()
    release: str = ""
    programs: Sequence[ProgramState] = ()
    certificates: Mapping[str, float] = field(default_factory=dict)
    """Certificate → days that it is valid yet."""
    disks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Place of a file system → its bytes, and those that are free."""
    load: float = 0.0
    cores: int = 0
    memory_bytes: int = 0
    memory_free_bytes: int = 0


def look(hosts: Sequence[Host], lock: Lock, seconds: float) -> tuple[list[HostState], list[HostUnreachable]]:
    """Ask all hosts at once; what is known of those that answer, and an error for each that does not.

    Args:
        hosts: which.
        lock: of third-party programs.
        seconds: how long a host may take.
    """
    script = Path(__file__).with_name("status.sh").read_text(encoding="utf-8")
    patterns = [*(f"{service.pattern}.service" for service in SERVICES), "v2t-*.timer"]
    command = f"sh -s -- {shlex.join(patterns)}"
    states, lost = [], []
    for host, answer in zip(hosts, ask_all(hosts, command, standard_input=script, seconds=seconds), strict=True):
        if error := answer.unreachable():
            lost.append(error)
        elif "\nmonotonic " not in answer.stdout:
            lost.append(unreachable(host.name, f"its shell did not answer: {answer.stderr.strip()[-200:]}"))
        else:
            states.append(parse_status(host, answer, lock))
    return states, lost


def ago(seconds: float) -> str:
    """How long something has been so, in its two greatest units."""
    if not seconds:
        return "-"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def parse_status(host: Host, answer: Answer, lock: Lock) -> HostState:
    """What a host answered to status.sh."""
    plain, _, blocks = answer.stdout.partition("\nId=")
    words = [line.split() for line in plain.splitlines() if line.strip()]
    first = {line[0]: line[1:] for line in words}
    now, monotonic = float(first["now"][0]), float(first["monotonic"][0])
    return HostState(
        host.name,
        tuple(_units(host, f"Id={blocks}" if blocks else "", monotonic)),
        first["release"][0] if first.get("release") else "",
        tuple(_programs([line[1] for line in words if line[0] == "program"], lock)),
        {
            Path(line[1]).stem: round((float(line[2]) - now) / _DAY_SECONDS, 1)
            for line in words
            if line[0] == "certificate"
        },
        {line[1]: (int(line[2]) * 1024, int(line[3]) * 1024) for line in words if line[0] == "disk"},
        float(first["load"][0]),
        int(first["load"][3]),
        int(first["memory"][0]) * 1024,
        int(first["memory"][1]) * 1024,
    )


def _units(host: Host, text: str, monotonic: float) -> Iterator[UnitState]:
    services = [one for one in of_groups(host.groups) if one.is_required and not (one is WORKERS and host.is_drained)]
    lacking = services
    optional = {None, WORKERS} if "Id=v2t-scale.service\n" in text else {None}
    is_resting = host.is_drained
    for block in text.split("\n\n"):
        facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = facts.get("Id", "").removesuffix(".service")
        if not name or facts["LoadState"] != "loaded":
            continue
        required = service_of(name, services)
        is_enabled = facts["UnitFileState"].startswith("enabled")
        if not is_enabled and facts["ActiveState"] in {"inactive", "activating"} and required in optional:
            continue  # another unit starts it, or it came with a package and nobody uses it
        lacking = [service for service in lacking if service != required]
        is_worker = service_of(name, [WORKERS]) is not None
        is_resting = is_resting and not is_worker
        changed = int(facts["StateChangeTimestampMonotonic"]) / 1e6
        yield UnitState(
            name,
            facts["ActiveState"],
            facts["SubState"],
            max(round(monotonic - changed, 1), _MOMENT_SECONDS) if changed else 0.0,
            int(facts.get("NRestarts") or 0),
            not (host.is_drained and is_worker),
        )
    for service in lacking:
        yield UnitState(service.pattern, "missing")
    if is_resting:
        yield UnitState(WORKERS.pattern, "drained", is_wanted=False)


def _programs(targets: Sequence[str], lock: Lock) -> Iterator[ProgramState]:
    """Each target of a link is /opt/v2t/<program>/<version>/<binary>."""
    locked = {program.name: program.version for program in lock.programs}
    for target in targets:
        _, _, _, name, version, *_ = Path(target).parts
        yield ProgramState(name, version, locked.get(name, ""))


def find_faults(states: Sequence[HostState]) -> list[str]:
    """A sentence for each thing that is wrong, with the next step."""
    return [fault for state in states for fault in (*_unit_faults(state), *_other_faults(state, usual(states)))]


def usual(states: Sequence[HostState]) -> str:
    """The release that most hosts run."""
    releases = Counter(state.release for state in states if state.release)
    return releases.most_common(1)[0][0] if releases else ""


def _unit_faults(state: HostState) -> Iterator[str]:
    for unit in state.units:
        if unit.state == "missing":
            yield f"{state.host}: {unit.name} is missing; `v2t cluster deploy` sets it up"
        elif unit.fault:
            yield f"{state.host}: {unit.name} is {unit.fault}; `v2t cluster logs {unit.name} --host {state.host}`"


def _other_faults(state: HostState, release: str) -> Iterator[str]:
    for program in state.programs:
        if program.drifts:
            yield (
                f"{state.host}: {program.name} is {program.version}, and the lock says {program.locked or 'nothing'}; "
                "`v2t cluster deploy` brings it"
            )
    if state.release and state.release != release:
        yield f"{state.host}: runs v2t {state.release}, and most run {release}; `v2t cluster deploy` brings it"
    for name, days in state.certificates.items():
        if days < CERTIFICATE_DAYS:
            yield f"{state.host}: the certificate {name} ends in {days:.0f} days; `v2t cluster deploy` renews it"
    for folder, (total, free) in state.disks.items():
        if free < total * DISK_FREE:
            yield f"{state.host}: {folder} has {free / 2**30:.1f} GiB free of {total / 2**30:.0f}; make space there"
