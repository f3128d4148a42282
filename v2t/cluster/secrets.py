"""The secrets of a cluster: which there are, how they are made, and what is too weak to be one."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a secret looks like."""

    PASSWORD = "password"  # noqa: S105 the kind, not one
    ACCOUNT = "account"
    ENCRYPTION_KEY = "encryption key"
    SSH_KEY = "ssh key"


@dataclass(frozen=True, slots=True)
class SecretVariable:
    """A variable of the vault."""

    name: str
    kind: Kind = Kind.PASSWORD


SECRETS: tuple[SecretVariable, ...] = (
    SecretVariable("vault_pki_passphrase"),
    SecretVariable("vault_postgresql_temporal_password"),
    SecretVariable("vault_postgresql_v2t_password"),
    SecretVariable("vault_minio_root_user", Kind.ACCOUNT),
    SecretVariable("vault_minio_root_password"),
    SecretVariable("vault_minio_kms_key", Kind.ENCRYPTION_KEY),
    SecretVariable("vault_minio_worker_secret"),
    SecretVariable("vault_minio_client_secret"),
    SecretVariable("vault_minio_uploader_secret"),
    SecretVariable("vault_minio_health_secret"),
    SecretVariable("vault_minio_webhook_token"),
    SecretVariable("vault_redis_password"),
    SecretVariable("vault_grafana_admin_password"),
    SecretVariable("vault_ssh_whisper_key", Kind.SSH_KEY),
)
"""All that a cluster needs; `v2t cluster init` makes those that are missing."""

_PASSWORD_LENGTH = 32  # MinIO takes 8 to 40 characters; these carry 190 bits
_SHORTEST, _LONGEST = 16, 40
_LETTERS = string.ascii_letters + string.digits
_HARMLESS = re.compile(r"[!#%&()*+,./:;<=>?@\[\]^_{|}~A-Za-z0-9-]*")
"""What a file of settings of any server holds without quoting: no blank, quote, backslash, dollar or backtick."""
_ACCOUNT = re.compile(r"[A-Za-z0-9_.-]{3,20}")
_KEY_PREFIX = "v2t:"
_KEY_BYTES = 32
_GUESSED_FIRST = ("admin", "changeme", "minioadmin", "password", "secret", "v2t")
_FEWEST_DISTINCT = 6


def make_secret(kind: Kind) -> str:
    """A new one, of the system's randomness."""
    if kind is Kind.ENCRYPTION_KEY:
        return _KEY_PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    if kind is Kind.SSH_KEY:
        return _make_ssh_key()
    if kind is Kind.ACCOUNT:
        return "v2t-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
    return "".join(secrets.choice(_LETTERS) for _ in range(_PASSWORD_LENGTH))


def missing_secrets(values: Mapping[str, object]) -> tuple[SecretVariable, ...]:
    """Those that are not there or empty."""
    return tuple(secret for secret in SECRETS if values.get(secret.name) in (None, ""))


def weakness(kind: Kind, value: object) -> str:
    """What is wrong with a secret, without telling it; empty: nothing."""
    if not isinstance(value, str):
        return "is not text; put it in quotes"
    if kind is Kind.ACCOUNT:
        return "" if _ACCOUNT.fullmatch(value) else "is not 3 to 20 letters, digits, dots, hyphens or underscores"
    if kind is Kind.ENCRYPTION_KEY:
        return "" if _is_encryption_key(value) else f"is not `{_KEY_PREFIX}` and base64 of {_KEY_BYTES} bytes"
    if kind is Kind.SSH_KEY:
        return "" if _is_ssh_key(value) else "is not a private key as `ssh-keygen -t ed25519 -N ''` writes it"
    return _password_weakness(value)


def _make_ssh_key() -> str:
    """A private key, as OpenSSH writes it, without a passphrase: the vault is what it is encrypted with."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def _is_ssh_key(value: str) -> bool:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        return isinstance(load_ssh_private_key(value.encode(), password=None), Ed25519PrivateKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _password_weakness(value: str) -> str:
    if not _SHORTEST <= len(value) <= _LONGEST:
        return f"has {len(value)} characters, and needs {_SHORTEST} to {_LONGEST}"
    if not _HARMLESS.fullmatch(value):
        return "has a blank, quote, backslash, dollar or other character that files of settings do not keep"
    if len(set(value)) < _FEWEST_DISTINCT or value.lower().rstrip(string.digits + "!") in _GUESSED_FIRST:
        return "is easy to guess"
    return ""


def _is_encryption_key(value: str) -> bool:
    if not value.startswith(_KEY_PREFIX):
        return False
    try:
        return len(base64.b64decode(value.removeprefix(_KEY_PREFIX), validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
