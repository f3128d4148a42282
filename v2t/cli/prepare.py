"""`v2t cluster prepare`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from v2t.cli.output import Result, returns_result
from v2t.domain.errors import UsageError

if TYPE_CHECKING:
    from v2t.storage.minio_accounts import NewAccount

_KINDS = ("worker", "client", "uploader", "health")


@click.command("prepare")
@click.option(
    "--notify",
    "notify_target",
    default="",
    metavar="ARN",
    help="Webhook of the object store that is told of uploads, such as arn:minio:sqs::V2T:webhook.",
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="KIND:NAME:SECRET",
    help=f"Account that MinIO is to have: {', '.join(_KINDS)}; the secret as file:/path or env:NAME. Repeatable.",
)
@returns_result
def command(notify_target: str, accounts: tuple[str, ...]) -> Result:
    """Make on the servers of the settings what v2t needs: buckets, tables, namespace, schedules.

    Run it with an administrator's accounts. Run again it changes nothing.

    \b
    Examples:
      v2t cluster prepare
      v2t cluster prepare --notify arn:minio:sqs::V2T:webhook --account worker:v2t-worker:file:/etc/v2t/worker-secret
    """
    from v2t.cluster.preparation import prepare_cluster
    from v2t.config import load_settings

    wanted = [_parse(text) for text in accounts]
    changes = asyncio.run(prepare_cluster(load_settings(), notify_target=notify_target, accounts=wanted))
    return Result(data={"changes": list(changes)}, lines=[*changes, "The cluster is prepared."])


def _parse(text: str) -> NewAccount:
    """KIND:NAME:REFERENCE; a secret itself is refused, because command lines are seen by everybody."""
    from v2t.config import Secret
    from v2t.storage.minio_accounts import NewAccount

    kind, _, rest = text.partition(":")
    name, _, reference = rest.partition(":")
    if kind not in _KINDS or not name or not reference.startswith(("file:", "env:")):
        raise UsageError(f"--account {kind}:{name}:… is not KIND:NAME:file:/path or KIND:NAME:env:NAME")
    return NewAccount(name, kind, Secret(reference).reveal())  # type: ignore[arg-type]  # one of _KINDS
