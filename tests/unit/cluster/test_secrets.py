from __future__ import annotations

import base64

import pytest

from v2t.cluster.secrets import SECRETS, Kind, make_secret, missing_secrets, weakness


@pytest.mark.parametrize("kind", Kind)
def test_what_is_made_is_never_weak_and_never_the_same(kind: Kind) -> None:
    made = {make_secret(kind) for _ in range(20)}

    assert len(made) == 20
    assert [weakness(kind, value) for value in made] == [""] * 20


def test_an_encryption_key_is_32_bytes_for_minio() -> None:
    name, _, key = make_secret(Kind.ENCRYPTION_KEY).partition(":")

    assert name == "v2t"
    assert len(base64.b64decode(key)) == 32


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (Kind.PASSWORD, "short", "has 5 characters"),
        (Kind.PASSWORD, "x" * 41, "has 41 characters"),
        (Kind.PASSWORD, "a" * 20, "easy to guess"),
        (Kind.PASSWORD, "changeme12345678", "easy to guess"),
        (Kind.PASSWORD, "has a blank in it, it has", "files of settings"),
        (Kind.PASSWORD, "line\nbreak-0123456789", "files of settings"),
        (Kind.PASSWORD, "dollar$HOME-0123456789", "files of settings"),
        (Kind.PASSWORD, 1234567890123456, "is not text"),
        (Kind.ACCOUNT, "x", "3 to 20"),
        (Kind.ENCRYPTION_KEY, "v2t:c2hvcnQ=", "32 bytes"),
        (Kind.ENCRYPTION_KEY, "v2t:not base64", "32 bytes"),
        (Kind.ENCRYPTION_KEY, "other:" + "A" * 43 + "=", "32 bytes"),
        (Kind.SSH_KEY, "hush", "not a private key"),
        (Kind.SSH_KEY, "-----BEGIN OPENSSH PRIVATE KEY-----\n!\n", "not a private key"),
    ],
)
def test_a_weak_secret_is_named_without_being_told(kind: Kind, value: object, why: str) -> None:
    assert why in weakness(kind, value)
    assert str(value) not in weakness(kind, value)


def test_an_empty_secret_is_a_missing_one() -> None:
    values = {secret.name: "there" for secret in SECRETS} | {"vault_redis_password": "", "vault_pki_passphrase": None}

    assert [secret.name for secret in missing_secrets(values)] == ["vault_pki_passphrase", "vault_redis_password"]
