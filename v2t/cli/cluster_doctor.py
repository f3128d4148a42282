"""`v2t cluster doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from v2t.cli.cluster_options import of_inventory
from v2t.cli.cluster_run import run
from v2t.cli.output import Result, as_table, returns_result
from v2t.domain.errors import ClusterUnhealthy, DeploymentFailed, HostUnreachable, V2TError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v2t.cluster.doctor import Finding
    from v2t.cluster.playbook import Ended


@click.command("doctor")
@of_inventory
@click.option("--limit", default="", metavar="HOSTS", help="Only these hosts or groups, as Ansible's --limit.")
@returns_result
def command(named: Path | None, password: Path | None, limit: str) -> Result:
    """Look at every host, before or after it is deployed, and say what stands in the way; changes nothing.

    Exit code 1 where something failed, 5 where a host cannot be reached. Warnings are no failures.

    \b
    Examples:
      v2t cluster doctor
      v2t cluster doctor --limit workers --json
    """
    from v2t.cluster import vault
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.doctor import find
    from v2t.cluster.inventory import choose_inventory, read_inventory

    folder = choose_inventory(named)
    found = vault.find_password(folder, password)
    options = PlaybookOptions(limit=limit)
    told_as = ("v2t", "cluster", "doctor", *options.flags())
    ended = run(read_inventory(folder, found), found, "doctor", options, told_as=told_as, changes=False)
    findings = find(ended.told, ended.failures)
    rows = [(finding.host, finding.subject, finding.health, finding.text) for finding in findings]
    data: dict[str, list[dict[str, Any]]] = {finding.host: [] for finding in findings}
    for finding in findings:
        data[finding.host].append(asdict(finding))
    lines = as_table(("HOST", "WHAT", "STATE", "FINDING"), rows) if rows else []
    return Result(data={"hosts": data, "log": str(ended.log)}, lines=lines, errors=_errors(findings, ended))


def _errors(findings: Sequence[Finding], ended: Ended) -> tuple[V2TError, ...]:
    from v2t.cluster.doctor import Health

    failed = [finding for finding in findings if finding.health is Health.FAILED]
    found: list[V2TError] = [
        (HostUnreachable if finding.is_unreachable else ClusterUnhealthy)(f"{finding.host}: {finding.text}")
        for finding in sorted(failed, key=lambda finding: not finding.is_unreachable)
    ]
    if ended.exit_code and not found:
        found.append(DeploymentFailed(f"Ansible could not look at the hosts: {ended.complaint}"))
    return tuple(found)
