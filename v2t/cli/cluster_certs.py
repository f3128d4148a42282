"""`v2t cluster certs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.cluster_options import of_inventory, usable_inventory
from v2t.cli.cluster_run import as_result, ask, errors_of, run
from v2t.cli.output import Result, as_table, returns_result
from v2t.domain.errors import UsageError

if TYPE_CHECKING:
    from v2t.cluster.certificates import Certificate


@click.group("certs")
def group() -> None:
    """See when the cluster's certificates end, and make new ones."""


@group.command()
@of_inventory
@returns_result
def status(named: Path | None, password: Path | None) -> Result:
    """Show every certificate of every host, the authority's and the operator's, and the days until each ends.

    Ends with 1 where one ends within pki_renew_days, which are 30.

    \b
    Examples:
      v2t cluster certs status
      v2t cluster certs status --inventory inventory/lab --json
    """
    from v2t.cluster import certificates
    from v2t.cluster.ansible import PlaybookOptions

    inventory, found = usable_inventory(named, password)
    told_as = ("v2t", "cluster", "certs", "status")
    ended = run(inventory, found, "certificates", PlaybookOptions(), told_as=told_as, changes=False)
    there = [*certificates.read_local(ended.told), *certificates.parse_told(ended.told)]
    now = certificates.now()
    rows = [
        (one.host, one.subject, str(one.days_left(now)), f"{one.ends_at:%Y-%m-%d}", one.file)
        for one in sorted(there, key=lambda one: (one.ends_at.date(), one.host, one.file))
    ]
    data = [_as_data(one, one.days_left(now)) for one in there]
    due = certificates.due(there, certificates.renew_days(inventory.variables), now)
    lines = as_table(("HOST", "SUBJECT", "DAYS", "ENDS", "FILE"), rows)
    return Result(data={"certificates": data}, lines=lines, errors=(*errors_of(ended), *due))


@group.command()
@of_inventory
@click.option("--host", default="", metavar="HOSTS", help="Only of these hosts or groups, as Ansible's --limit.")
@click.option("--name", "names", multiple=True, metavar="NAME", help="Only these, such as postgresql; repeatable.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@returns_result
def rotate(named: Path | None, password: Path | None, host: str, names: tuple[str, ...], yes: bool) -> Result:
    """Give every service a new key and certificate, and let it use them.

    Services read them without a stop, Temporal within a minute; only Redis restarts, a cache that jobs go on without,
    and the workers, each when it has ended what it does. The authority stays the same. It is a deployment: what else is
    not as the inventory says is put right as well, and a rotation that was interrupted is gone on with by another.

    \b
    Examples:
      v2t cluster certs rotate
      v2t cluster certs rotate --name postgresql --name minio --yes
      v2t cluster certs rotate --host m4-1
    """
    from v2t.cluster.ansible import PlaybookOptions
    from v2t.cluster.certificates import ALL, renewed

    inventory, found = usable_inventory(named, password)
    if not yes:
        what = ", ".join(names) or "all certificates"
        ask(f"Make new keys for {what} of {host or 'all hosts'}, of {inventory.folder}?")
    told_as = ("v2t", "cluster", "certs", "rotate", *(f"--host={host}" for _ in [host] if host), *_named(names))
    options = PlaybookOptions(limit=host, variables={"pki_renew": list(names) or [ALL]})
    ended = run(inventory, found, "site", options, told_as=told_as)
    made = renewed(ended.told)
    result = as_result(ended, options, {"renewed": made})
    lines = [f"{host}: {', '.join(certificates)} renewed" for host, certificates in made.items()]
    missed = [name for name in names if not any(name in certificates for certificates in made.values())]
    unknown = [
        UsageError(f"no host has a certificate {name!r}; `v2t cluster certs status` lists them")
        for name in missed
        if not result.errors
    ]
    return replace(result, lines=[*lines, *result.lines], errors=(*result.errors, *unknown))


def _named(names: Sequence[str]) -> Sequence[str]:
    return [f"--name={name}" for name in names]


def _as_data(one: Certificate, days: int) -> dict[str, object]:
    return {**asdict(one), "ends_at": one.ends_at.isoformat(), "days_left": days}
