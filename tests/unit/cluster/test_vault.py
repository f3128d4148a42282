from __future__ import annotations

from pathlib import Path

import pytest

from v2t.cluster import vault
from v2t.cluster.secrets import SECRETS, Kind, make_secret
from v2t.domain.errors import InventoryInvalid, VaultRefused


def test_missing_and_empty_secrets_are_filled_and_the_rest_stays_as_it_is() -> None:
    kept = '---\n# ours\nvault_redis_password: "kept"  # since May\n'
    text = kept + 'vault_pki_passphrase: ""  # empty\nvault_own: 1\nvault_minio_root_user:\n'

    filled, made = vault.fill(text)

    values = vault.parse(filled)
    assert values["vault_own"] == 1
    assert len(made) == len(SECRETS) - 1
    assert all(values[secret.name] for secret in SECRETS)
    assert filled.startswith(kept + 'vault_pki_passphrase: "')
    assert '"  # empty\nvault_own: 1\nvault_minio_root_user: "v2t-' in filled


def test_a_secret_of_several_lines_is_filled_and_exchanged_in_one() -> None:
    filled, _ = vault.fill("")
    key = vault.parse(filled)["vault_ssh_whisper_key"]
    other = make_secret(Kind.SSH_KEY)

    changed = vault.exchange(filled, {"vault_ssh_whisper_key": other})

    assert key.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert vault.parse(changed)["vault_ssh_whisper_key"] == other != key
    assert len(changed.splitlines()) == len(filled.splitlines()) == len(SECRETS) + 1


def test_a_full_vault_is_not_changed() -> None:
    filled, _ = vault.fill("")

    assert vault.fill(filled) == (filled, ())


def test_an_empty_secret_that_cannot_be_filled_is_named() -> None:
    with pytest.raises(InventoryInvalid, match="vault_pki_passphrase"):
        vault.fill("{vault_pki_passphrase: ''}\n")


@pytest.mark.parametrize("text", ["- a\n- b\n", "hush: [\n", "just hush\n"])
def test_a_vault_that_is_no_mapping_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(InventoryInvalid) as refused:
        vault.parse(text)

    assert "hush" not in refused.value.message


def test_a_vault_is_opened_by_its_own_password_only(tmp_path: Path) -> None:
    password, other = vault.make_password(tmp_path), tmp_path / "other"
    other.write_text("another\n")

    vault.write_vault(tmp_path, password, "vault_a: hush\n")

    path = tmp_path / vault.VAULT
    assert vault.is_encrypted(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert password.stat().st_mode & 0o777 == 0o600
    assert vault.read_vault(tmp_path, password) == "vault_a: hush\n"
    with pytest.raises(VaultRefused, match="does not open"):
        vault.read_vault(tmp_path, other)
    with pytest.raises(VaultRefused, match=r"write it to .*\.vault-password"):
        vault.read_vault(tmp_path, None)


def test_the_named_password_comes_before_the_inventorys_own_and_must_be_there(tmp_path: Path) -> None:
    own = vault.make_password(tmp_path)
    named = tmp_path / "named"
    with pytest.raises(VaultRefused, match="no vault password"):
        vault.find_password(tmp_path, named)
    named.touch()

    assert vault.find_password(tmp_path, named) == named
    assert vault.find_password(tmp_path) == own
    assert vault.find_password(tmp_path / "elsewhere") is None


def test_secrets_are_exchanged_in_their_lines_and_the_rest_stays_as_it_is() -> None:
    text = "---\n# ours\nvault_a: \"old\"  # since May\nvault_ab: 'kept'\nvault_b: plain old\nvault_c: 'c'\n"

    changed = vault.exchange(text, {"vault_a": "new-a", "vault_b": "new-b", "vault_c": "new-c"})

    assert changed == (
        '---\n# ours\nvault_a: "new-a"  # since May\nvault_ab: \'kept\'\nvault_b: "new-b"\nvault_c: "new-c"\n'
    )


@pytest.mark.parametrize("text", ["vault_b: x\n", "vault_a: |\n  old\n", "{vault_a: old}\n", "vault_a: &x old\n"])
def test_a_secret_that_cannot_be_exchanged_by_itself_is_left_to_the_operator(text: str) -> None:
    with pytest.raises(InventoryInvalid, match="write each secret there") as refused:
        vault.exchange(text, {"vault_a": "new"})

    assert "old" not in refused.value.message
