"""`v2t cluster logs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from v2t.cli.cluster_hosts import errors_of, line_printer, open_hosts, prefixed
from v2t.cli.cluster_options import of_inventory
from v2t.cli.output import Result, returns_result, say
from v2t.domain.errors import CommandFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v2t.cluster.hosts import Host

_LINES = 100
_LINES_BEFORE = 10


@click.command("logs")
@of_inventory
@click.argument("unit")
@click.option("--host", "wanted", multiple=True, metavar="HOST", help="Only of this host, or group; may be repeated.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--since", default="", metavar="TIME", help="From then on, as journalctl takes it: '1 hour ago'.")
@click.option(
    "--lines",
    type=click.IntRange(0),
    help=f"Of each host, at most. Default: {_LINES}; with -f {_LINES_BEFORE}, with --since all.",
)
@returns_result
def command(
    named: Path | None,
    password: Path | None,
    unit: str,
    wanted: tuple[str, ...],
    follow: bool,
    since: str,
    lines: int | None,
) -> Result:
    """Show the journal of a unit, from all hosts that have it, in the order of time (UTC).

    UNIT is worker, temporal, temporal-ui, minio, postgresql, redis, haproxy, prometheus, grafana, or a unit's name.

    \b
    Examples:
      v2t cluster logs worker
      v2t cluster logs worker --host m4-1 -f
      v2t cluster logs temporal --since '10 minutes ago'
      v2t cluster logs v2t-worker@2 --lines 1000
    """
    from v2t.cluster.hosts import as_root, choose_hosts
    from v2t.cluster.logs import journal_command
    from v2t.cluster.units import find_units

    pattern, groups = find_units(unit)
    hosts = choose_hosts(open_hosts(named, password), wanted or groups)
    if lines is None:
        lines = _LINES_BEFORE if follow else None if since else _LINES
    line = as_root(journal_command(pattern, lines=lines, since=since, follow=follow))
    if not follow:
        return _read(hosts, line, pattern)
    if click.get_current_context().params.get("as_json"):
        raise UsageError("a log that is followed has no end, and so no JSON; take --since")
    return _follow(hosts, line)


def _read(hosts: Sequence[Host], line: str, pattern: str) -> Result:
    from v2t.cluster.hosts import ask_all
    from v2t.cluster.logs import merge

    answers = ask_all(hosts, line)
    for answer in answers:
        if answer.stderr.strip() and not answer.unreachable():
            say(f"{answer.host}: {answer.stderr.strip().splitlines()[-1]}")
    merged = merge({answer.host: answer.stdout for answer in answers})
    errors = errors_of(answers, "journalctl")
    if not merged and not errors:
        say(f"there is no line of {pattern} on {', '.join(host.name for host in hosts)}")
    by_name = {host.name: host for host in hosts}
    return Result(
        data={"lines": [{"host": name, "line": text} for name, text in merged]},
        lines=[prefixed(hosts, by_name[name], text) for name, text in merged],
        errors=errors,
    )


def _follow(hosts: Sequence[Host], line: str) -> Result:
    from v2t.cluster.hosts import stream

    try:
        answers = stream(hosts, line, line_printer(hosts))
    except KeyboardInterrupt:
        return Result()
    ended = [CommandFailed(f"{one.host}: journalctl has stopped following") for one in answers if not one.exit_code]
    return Result(errors=(*errors_of(answers, "journalctl"), *ended))
