"""Making the buckets of the cluster what they must be; done again, it changes nothing.

Unfinished uploads need no rule here: MinIO ends them by itself, after a day unless its setting
`MINIO_API_STALE_UPLOADS_EXPIRY` says otherwise, and refuses a rule of a bucket that would.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from v2t.domain.errors import ConfigurationError
from v2t.storage.minio_client import Buckets, StoreAccount, named_errors, open_client

if TYPE_CHECKING:
    from minio import Minio
    from minio.notificationconfig import NotificationConfig, QueueConfig

INCOMING = "incoming/"
_RULE = "v2t-versions"
_NOTIFICATION = "v2t-incoming"
_DAYS_OF_VERSIONS = 1
_NO_ENCRYPTION = frozenset({"NotImplemented", "KMSNotConfigured", "InvalidEncryptionAlgorithmError"})
_NO_TARGET = frozenset({"InvalidArgument", "ARNNotification", "XMinioAdminNotificationTargetsTestFailed"})
_TARGET_SECONDS = 10.0
"""A MinIO that has just started knows its targets a moment after it answers (server-main.go, initBucketTargets)."""
_POLL_SECONDS = 0.2


def prepare_storage(
    account: StoreAccount, buckets: Buckets, *, encrypt: bool = True, notify_target: str = ""
) -> tuple[str, ...]:
    """Make the buckets, and set what they keep, encrypt and announce.

    The bucket of recordings keeps older versions for a day, so that a recording which is replaced while v2t takes it
    in is not lost. No bucket is left open to the public.

    Args:
        account: an administrator's, or one that may make and configure the buckets.
        buckets: what they are called.
        encrypt: have the store encrypt all that is put there from now on (SSE-S3).
        notify_target: ARN of the webhook that is told of each recording below `incoming/`, as the server calls it,
            such as `arn:minio:sqs::v2t:webhook`; empty: leave notifications as they are.

    Returns:
        What was changed, a line each; nothing when all was well.

    Raises:
        ConfigurationError: the store does not know the target or cannot encrypt.
        StorageError, ConnectionFailed: the store failed.
    """
    client = open_client(account)
    changes: list[str] = []
    for bucket in buckets.all:
        with named_errors(account, bucket):
            changes += _bucket(client, bucket, encrypt=encrypt, region=account.region)
    with named_errors(account, buckets.audio):
        changes += _versions(client, buckets.audio)
        if notify_target:
            changes += _notification(client, buckets.audio, notify_target)
    return tuple(changes)


def _bucket(client: Minio, bucket: str, *, encrypt: bool, region: str) -> Iterator[str]:
    from minio.error import S3Error

    if not client.bucket_exists(bucket):
        try:
            client.make_bucket(bucket, location=region)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":  # made by somebody else at the same moment
                raise
        else:
            yield f"made bucket {bucket}"
    if encrypt:
        yield from _encryption(client, bucket)
    yield from _privacy(client, bucket)


def _encryption(client: Minio, bucket: str) -> Iterator[str]:
    from minio.error import S3Error
    from minio.sseconfig import Rule, SSEConfig

    if client.get_bucket_encryption(bucket) is not None:  # an administrator's own key is as good
        return
    try:
        client.set_bucket_encryption(bucket, SSEConfig(Rule.new_sse_s3_rule()))
    except S3Error as error:
        if error.code not in _NO_ENCRYPTION:
            raise
        raise ConfigurationError(
            "the object store has no key to encrypt with; give it one (MINIO_KMS_SECRET_KEY) "
            "or set storage.encrypt = false"
        ) from error
    yield f"turned on encryption of {bucket}"


def _privacy(client: Minio, bucket: str) -> Iterator[str]:
    from minio.error import S3Error

    try:
        policy = json.loads(client.get_bucket_policy(bucket))
    except S3Error as error:
        if error.code != "NoSuchBucketPolicy":
            raise
        return
    if any(_is_public(statement) for statement in policy.get("Statement", [])):
        client.delete_bucket_policy(bucket)
        yield f"removed the public policy of {bucket}"


def _is_public(statement: dict[str, Any]) -> bool:
    principal = statement.get("Principal")
    named = principal.get("AWS") if isinstance(principal, dict) else principal
    return statement.get("Effect") == "Allow" and named in ("*", ["*"])


def _versions(client: Minio, bucket: str) -> Iterator[str]:
    from minio.commonconfig import ENABLED
    from minio.lifecycleconfig import LifecycleConfig
    from minio.versioningconfig import VersioningConfig

    if client.get_bucket_versioning(bucket).status != ENABLED:
        client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
        yield f"turned on versions of {bucket}"
    present = client.get_bucket_lifecycle(bucket)
    rules = list(present.rules) if present else []
    if not any(rule.rule_id == _RULE and rule.status == ENABLED for rule in rules):
        others = [rule for rule in rules if rule.rule_id != _RULE]
        client.set_bucket_lifecycle(bucket, LifecycleConfig([*others, _rule()]))
        yield f"set older versions in {bucket} to go after {_DAYS_OF_VERSIONS} day"


def _rule() -> Any:
    from minio.commonconfig import ENABLED, Filter
    from minio.lifecycleconfig import Expiration, NoncurrentVersionExpiration, Rule

    return Rule(
        ENABLED,
        rule_filter=Filter(prefix=""),
        rule_id=_RULE,
        expiration=Expiration(expired_object_delete_marker=True),
        noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=_DAYS_OF_VERSIONS),
    )


def _notification(client: Minio, bucket: str, target: str) -> Iterator[str]:
    from minio.notificationconfig import PrefixFilterRule, QueueConfig

    present = client.get_bucket_notification(bucket)
    if any(_announces(entry, target) for entry in present.queue_config_list):
        return
    events = ["s3:ObjectCreated:*"]
    mine = QueueConfig(
        queue=target, events=events, config_id=_NOTIFICATION, prefix_filter_rule=PrefixFilterRule(INCOMING)
    )
    _announce(client, bucket, _with(present, mine), target)
    yield f"set {bucket}/{INCOMING} to be announced to {target}"


def _announce(client: Minio, bucket: str, wanted: NotificationConfig, target: str) -> None:
    from minio.error import S3Error

    deadline = time.monotonic() + _TARGET_SECONDS
    while True:
        try:
            client.set_bucket_notification(bucket, wanted)
        except S3Error as error:
            if error.code not in _NO_TARGET:
                raise
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the object store knows no notification target {target}; configure it there "
                    "(MINIO_NOTIFY_WEBHOOK_ENABLE_<name>) and restart it"
                ) from error
            time.sleep(_POLL_SECONDS)
        else:
            return


def _announces(entry: QueueConfig, target: str) -> bool:
    prefix = entry.prefix_filter_rule
    return entry.queue == target and prefix is not None and prefix.value == INCOMING


def _with(present: NotificationConfig, mine: QueueConfig) -> NotificationConfig:
    from minio.notificationconfig import NotificationConfig

    others = [entry for entry in present.queue_config_list if entry.config_id != mine.config_id]
    return NotificationConfig(present.cloud_func_config_list, [*others, mine], present.topic_config_list)
