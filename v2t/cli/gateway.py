"""`v2t gateway`: what the outside world talks to."""

from __future__ import annotations

import asyncio

import click

from v2t.cli.output import Result, returns_result, say


@click.group("gateway")
def group() -> None:
    """Take in recordings dropped into the object store."""


@group.command()
@returns_result
def run() -> Result:
    """Serve until SIGTERM: the object store's notifications become jobs, exactly once for each content.

    The store posts them to /uploads with the token of the setting uploads.token; what is not accepted it keeps and
    sends again. The cluster's schedules, which look for lost uploads and apply the retention policy, are made here.

    \b
    Example, the store's side (MinIO's environment):
      MINIO_NOTIFY_WEBHOOK_ENABLE_V2T=on
      MINIO_NOTIFY_WEBHOOK_ENDPOINT_V2T=http://127.0.0.1:8080/uploads
      MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_V2T=(the token)
      MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_V2T=/var/lib/minio/queue
    """
    from v2t.config import load_settings
    from v2t.gateway.server import serve

    settings = load_settings()
    asyncio.run(serve(settings, lambda url: say(f"the gateway listens at {url}")))
    return Result(lines=["The gateway has ended."])
