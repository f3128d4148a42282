"""Which secrets can be exchanged for new ones, what of a deployment that takes, and what is away meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from v2t.cluster.secrets import SECRETS, make_secret
from v2t.domain.errors import UsageError

_PREFIX = "vault_"


@dataclass(frozen=True, slots=True)
class Rotation:
    """How a secret is exchanged."""

    tags: Sequence[str]
    """Of the site's playbook, which brings the hosts to what the vault says."""
    away: str
    """What the cluster is without meanwhile."""
    stops_workers: bool = False
    """Whether jobs would fail whose workers still use the old one."""


_WORKERS = ("worker_configure", "worker_prepare", "worker_run")
_NODES = ("minio_configure", "minio_run")

ROTATIONS: Mapping[str, Rotation] = {
    "vault_postgresql_temporal_password": Rotation(
        ("postgresql_databases", "temporal_configure", "temporal_run", "backup"),
        "Temporal restarts, and jobs wait some seconds",
    ),
    "vault_postgresql_v2t_password": Rotation(
        ("postgresql_databases", *_WORKERS, "backup"),
        "the workers stop until all is done, and jobs wait",
        stops_workers=True,
    ),
    "vault_minio_root_password": Rotation(
        (*_NODES, "worker_prepare"), "all nodes of the object store restart together, and jobs wait some seconds"
    ),
    "vault_minio_worker_secret": Rotation(
        _WORKERS, "the workers stop until all is done, and jobs wait", stops_workers=True
    ),
    "vault_minio_client_secret": Rotation(
        ("client", "worker_prepare", "backup"),
        "uploads of clients that run meanwhile fail; other clients need the new secret",
    ),
    "vault_minio_uploader_secret": Rotation(
        ("worker_prepare",), "who drops recordings with the account v2t-uploader needs the new secret"
    ),
    "vault_minio_health_secret": Rotation(("worker_prepare",), "nothing"),
    "vault_minio_webhook_token": Rotation(
        (*_NODES, "gateway"), "all nodes of the object store restart together, and jobs wait some seconds"
    ),
    "vault_redis_password": Rotation(
        ("redis", "worker_configure", "worker_run"), "the cache restarts empty, and the workers restart"
    ),
    "vault_ssh_whisper_key": Rotation(
        ("client", "ssh_whisper", "worker_configure", "worker_run"),
        "the workers stop until all is done, and jobs wait",
        stops_workers=True,
    ),
    "vault_grafana_admin_password": Rotation(("monitoring",), "nothing"),
}
"""In the order of the site's playbook, by which no server is asked with a secret that it does not have yet."""

REFUSED: Mapping[str, str] = {
    "vault_minio_kms_key": "everything in the object store is encrypted with it, and would be lost",
    "vault_minio_root_user": "it is a name and no secret",
    "vault_pki_passphrase": (
        "the authority's key is encrypted with it: `openssl pkey -in ca.key -aes256 -out new.key` in the folder pki "
        "asks for both passphrases; then put new.key in its place and the new passphrase in the vault "
        "with `ansible-vault edit`"
    ),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """New values, and how they come to the hosts."""

    values: Mapping[str, str]

    @property
    def tags(self) -> str:
        """As ansible-playbook takes them."""
        return ",".join(dict.fromkeys(tag for name in self.values for tag in ROTATIONS[name].tags))

    @property
    def stops_workers(self) -> bool:
        """Whether the workers are not to run meanwhile."""
        return any(ROTATIONS[name].stops_workers for name in self.values)

    @property
    def away(self) -> Sequence[str]:
        """What the cluster is without, each thing once."""
        found = dict.fromkeys(ROTATIONS[name].away for name in self.values)
        return [text for text in found if text != "nothing"]


def plan(named: Iterable[str]) -> Plan:
    """New values for the named secrets, with or without `vault_`; for all that can be exchanged where none is named.

    Raises:
        UsageError: one cannot be exchanged, and why; or there is none of that name.
    """
    wanted = {name if name.startswith(_PREFIX) else f"{_PREFIX}{name}" for name in named}
    for name in sorted(wanted):
        if name in REFUSED:
            raise UsageError(f"{name} cannot be exchanged: {REFUSED[name]}")
        if name not in ROTATIONS:
            raise UsageError(f"there is no secret {name}; there are {', '.join(ROTATIONS)}")
    kinds = {secret.name: secret.kind for secret in SECRETS}
    return Plan({name: make_secret(kinds[name]) for name in ROTATIONS if not wanted or name in wanted})
