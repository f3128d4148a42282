"""Who may do what in the buckets: a policy for each kind of account, and the accounts themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from v2t.domain.errors import ConfigurationError, CredentialsRefused, StorageError
from v2t.storage.minio_client import Buckets, StoreAccount, error_code, named_errors, open_admin, open_client

if TYPE_CHECKING:
    from minio import MinioAdmin

Kind = Literal["worker", "client", "uploader", "health"]

_BAD_SECRET = frozenset({"SignatureDoesNotMatch", "InvalidAccessKeyId"})
_ADMIN_REFUSED = (401, 403)

_READ = ("s3:GetObject",)
_WRITE = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_DELETE = ("s3:DeleteObject",)
_LIST = ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads")


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account the store is to have."""

    name: str
    kind: Kind
    secret: str = field(repr=False)  # 8 to 40 characters


def policies(buckets: Buckets) -> dict[Kind, dict[str, Any]]:
    """What each kind of account may do, and nothing else.

    `worker` works on everything but only reads models. `client` submits recordings and batches, reads results and
    discards those it wants anew; it brings models, of which every machine knows the checksums. `uploader` puts
    recordings below `incoming/<its name>/` and cannot read them again. `health` sees that the buckets are there, and
    none of what they hold.
    """
    audio, transcripts, archive = buckets.audio, buckets.transcripts, buckets.archive
    return {
        "worker": _policy(
            _allow((*_LIST, "s3:ListBucketVersions"), *buckets.all),
            _allow((*_READ, *_WRITE, *_DELETE), f"{audio}/*", f"{transcripts}/*", f"{archive}/*"),
            _allow(("s3:GetObjectVersion", "s3:DeleteObjectVersion"), f"{audio}/*"),
            _allow(_READ, f"{buckets.models}/*"),
        ),
        "client": _policy(
            _allow(_LIST, *buckets.all),
            _allow(_READ, f"{audio}/*", f"{transcripts}/*", f"{archive}/*", f"{buckets.models}/*"),
            _allow(_WRITE, f"{audio}/audio/*", f"{transcripts}/b-*", f"{buckets.models}/models/*"),
            _allow(_DELETE, f"{transcripts}/t-*"),
        ),
        "uploader": _policy(
            _allow(("s3:GetBucketLocation",), audio),
            _allow(_WRITE, f"{audio}/incoming/${{aws:username}}/*"),
        ),
        "health": _policy(_allow(("s3:GetBucketLocation", "s3:HeadBucket"), *buckets.all)),
    }


def prepare_accounts(administrator: StoreAccount, buckets: Buckets, accounts: Sequence[NewAccount]) -> tuple[str, ...]:
    """Give MinIO the policies and accounts, and each account the one policy of its kind.

    Returns:
        What was changed, a line each; nothing when all was well.

    Raises:
        CredentialsRefused: the account is no administrator's.
        ConfigurationError: MinIO does not take an account, for its name or secret.
        StorageError, ConnectionFailed: MinIO failed.
    """
    admin = open_admin(administrator)
    changes: list[str] = []
    with named_errors(administrator, "accounts"):
        for kind, policy in policies(buckets).items():
            name = _policy_name(buckets, kind)
            with _named_admin_errors(administrator, f"policy {name}"):
                changes += _put_policy(admin, name, policy)
        for account in accounts:
            with _named_admin_errors(administrator, f"account {account.name}"):
                changes += _put_account(admin, administrator, buckets, account)
    return tuple(changes)


def _policy_name(buckets: Buckets, kind: Kind) -> str:
    """Named after the buckets: another cluster on the same MinIO has others, and policies of its own."""
    return f"{buckets.audio}-{kind}"


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(actions: Sequence[str], *resources: str) -> dict[str, Any]:
    names = [f"arn:aws:s3:::{resource}" for resource in resources]
    return {"Effect": "Allow", "Action": sorted(actions), "Resource": sorted(names)}


def _put_policy(admin: MinioAdmin, name: str, policy: dict[str, Any]) -> Iterator[str]:
    known = json.loads(admin.policy_list())
    if name in known and _canonical(known[name]) == _canonical(policy):
        return
    admin.policy_add(name, policy=policy)
    yield f"{'changed' if name in known else 'made'} policy {name}"


def _canonical(policy: dict[str, Any]) -> list[list[Any]]:
    """A policy in a form that two of the same meaning share: MinIO orders them as it likes."""
    statements = policy.get("Statement", [])
    return sorted([each["Effect"], sorted(each["Action"]), sorted(each["Resource"])] for each in statements)


def _put_account(
    admin: MinioAdmin, administrator: StoreAccount, buckets: Buckets, account: NewAccount
) -> Iterator[str]:
    known = json.loads(admin.user_list()).get(account.name)
    mine = replace(administrator, access_key=account.name, secret_key=account.secret)
    if known is None or known.get("status") != "enabled" or not _lets_in(mine, buckets):
        admin.user_add(account.name, account.secret)
        yield f"{'made' if known is None else 'renewed'} account {account.name}"
    policy = _policy_name(buckets, account.kind)
    if known is None or known.get("policyName") != policy:
        admin.policy_set(policy, user=account.name)
        yield f"gave account {account.name} the policy {policy}"


def _lets_in(account: StoreAccount, buckets: Buckets) -> bool:
    """Whether the store knows the account by this secret, whatever it may do."""
    from minio.error import S3Error

    try:
        open_client(account).bucket_exists(buckets.audio)
    except S3Error as error:
        return error_code(error) not in _BAD_SECRET
    return True


@contextmanager
def _named_admin_errors(administrator: StoreAccount, what: str) -> Iterator[None]:
    from minio.error import MinioAdminException

    try:
        yield
    except MinioAdminException as error:
        status, reason = int(error._code), _reason(error._body)  # noqa: SLF001 - no public name
        if status in _ADMIN_REFUSED:
            raise CredentialsRefused(
                f"{administrator.access_key!r} is no administrator of the object store at {administrator.endpoint}; "
                "use the account it was set up with"
            ) from error
        if status < 500:
            raise ConfigurationError(f"the object store does not take {what}: {reason}") from error
        raise StorageError(f"the object store failed at {what}: {reason}") from error


def _reason(body: str) -> str:
    try:
        return str(json.loads(body)["Message"])
    except (ValueError, KeyError, TypeError):
        return body[:200]
