"""Redis: a cache with a password that keeps nothing on disk."""

from __future__ import annotations

from support.servers.layout import HOST, Layout, write_secret
from support.servers.programs import Programs


def prepare(layout: Layout) -> None:
    """Write its configuration, which the password stands in."""
    lines = (
        f"bind {HOST}",
        f"port {layout.redis_port}",
        f"requirepass {layout.redis_password}",
        f"dir {layout.folder}",
        'save ""',
        "appendonly no",
        "maxmemory 256mb",
        "maxmemory-policy allkeys-lru",
    )
    write_secret(layout.folder / "redis.conf", "\n".join(lines) + "\n")


def server_command(layout: Layout, programs: Programs) -> list[str]:
    return [str(programs.redis), str(layout.folder / "redis.conf")]


def is_ready(layout: Layout) -> bool:
    import redis

    with redis.Redis.from_url(layout.redis_url, socket_timeout=2) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
