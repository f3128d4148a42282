from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from v2t.cluster.rotation import REFUSED, ROTATIONS, plan
from v2t.cluster.secrets import SECRETS, weakness
from v2t.domain.errors import UsageError

ROLES = Path(__file__).parents[3] / "roles"
_NEVER_LEFT_BEHIND = ("argument_specs.yml", "restore.yml")
NAMES = [secret.name for secret in SECRETS]


def users(secret: str) -> set[str]:
    """The roles that read a secret, but for what is run with the vault of its own day."""
    pattern = re.compile(rf"\b{secret}\b")
    files = (path for path in ROLES.rglob("*") if path.is_file() and path.name not in _NEVER_LEFT_BEHIND)
    return {path.relative_to(ROLES).parts[0] for path in files if pattern.search(path.read_text("utf-8"))}


def test_each_secret_can_be_exchanged_or_it_is_said_why_not() -> None:
    assert sorted([*ROTATIONS, *REFUSED]) == sorted(NAMES)


@pytest.mark.parametrize("name", ROTATIONS)
def test_every_role_that_reads_a_secret_is_run_when_it_is_exchanged(name: str) -> None:
    plays = yaml.safe_load((ROLES.parent / "playbooks/site.yml").read_text("utf-8"))
    tags = {entry["role"]: {*play["tags"], entry["role"]} for play in plays for entry in play.get("roles", ())}
    run = {*ROTATIONS[name].tags, *(tag.partition("_")[0] for tag in ROTATIONS[name].tags)}
    assert [role for role in users(name) - {"preflight"} if not tags[role] & run] == []


def test_without_names_all_are_exchanged_and_each_becomes_a_good_one() -> None:
    planned = plan([])

    assert list(planned.values) == list(ROTATIONS)
    kinds = {secret.name: secret.kind for secret in SECRETS}
    assert {weakness(kinds[name], value) for name, value in planned.values.items()} == {""}
    assert len(set(planned.values.values())) == len(planned.values)
    assert planned.stops_workers


def test_a_named_one_brings_its_tags_alone() -> None:
    planned = plan(["redis_password"])

    assert list(planned.values) == ["vault_redis_password"]
    assert planned.tags == "redis,worker_configure,worker_run"
    assert not planned.stops_workers
    assert planned.away == ["the cache restarts empty, and the workers restart"]


def test_workers_do_not_run_while_what_they_log_in_with_is_exchanged() -> None:
    for name in ("vault_postgresql_v2t_password", "vault_minio_worker_secret"):
        assert plan([name]).stops_workers


@pytest.mark.parametrize(
    ("name", "why"),
    [("minio_kms_key", "would be lost"), ("vault_pki_passphrase", "openssl pkey"), ("vault_nix", "there is no secret")],
)
def test_one_that_cannot_be_exchanged_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        plan(["redis_password", name])
