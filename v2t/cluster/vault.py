"""The inventory's vault: its password, and what is in it. Ansible's own program opens and closes it."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from v2t.cluster.ansible import call, complaint, environment, find_program
from v2t.cluster.files import NotYaml, load_yaml, read_text, replace_file
from v2t.cluster.secrets import make_secret, missing_secrets
from v2t.cluster.shipped import shipped
from v2t.domain.errors import InventoryInvalid, StorageUnwritable, VaultRefused

VAULT = Path("group_vars/all/vault.yml")
PASSWORD = Path(".vault-password")
_MARK = "$ANSIBLE_VAULT;"


def find_password(folder: Path, named: Path | None = None) -> Path | None:
    """The file of the vault's password: the named one, else the inventory's own where it is there.

    Raises:
        VaultRefused: the named one is not a file.
    """
    if named is not None:
        if not named.expanduser().is_file():
            raise VaultRefused(f"there is no vault password at {named}")
        return named.expanduser().absolute()
    own = folder / PASSWORD
    return own.absolute() if own.is_file() else None


def make_password(folder: Path) -> Path:
    """A new password in the inventory's own file, which only its owner reads."""
    path = (folder / PASSWORD).absolute()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise StorageUnwritable(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    return path


def is_open_to_others(path: Path) -> bool:
    """Whether somebody but the owner reads the file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def is_encrypted(text: str) -> bool:
    """Whether this is what ansible-vault writes."""
    return text.startswith(_MARK)


def read_vault(folder: Path, password: Path | None) -> str:
    """The vault's text; empty where there is none.

    Raises:
        VaultRefused: it is encrypted, and the password is not there or another.
    """
    path = folder / VAULT
    if not path.exists():
        return ""
    text = read_text(path)
    if not is_encrypted(text):
        return text
    if password is None:
        raise VaultRefused(
            f"{path} is encrypted, and its password is not here: write it to {folder / PASSWORD}, "
            "or name its file with --vault-password-file or V2T_VAULT_PASSWORD_FILE"
        )
    opened = call(
        [str(find_program("ansible-vault")), "decrypt", "--output=-"], _environment(password), standard_input=text
    )
    if opened.returncode:
        raise VaultRefused(f"{password} does not open {path}: {complaint(opened.stderr)}")
    return opened.stdout


def write_vault(folder: Path, password: Path, text: str) -> None:
    """Encrypt the text in place of the vault's; nothing that is not encrypted reaches the disk."""
    closed = call(
        [str(find_program("ansible-vault")), "encrypt", "--output=-"], _environment(password), standard_input=text
    )
    if closed.returncode or not is_encrypted(closed.stdout):
        raise VaultRefused(f"the vault cannot be encrypted: {complaint(closed.stderr)}")
    replace_file(folder / VAULT, closed.stdout, mode=0o600)


def fill(text: str) -> tuple[str, tuple[str, ...]]:
    """The vault's text with the secrets that were missing or empty, and their names; the rest stays as it is.

    Raises:
        InventoryInvalid: the text is not a mapping, or writes an empty secret in a way that cannot be filled.
    """
    before = parse(text)
    made = {secret.name: make_secret(secret.kind) for secret in missing_secrets(before)}
    filled = text or "---\n"
    for name, value in made.items():
        line = f"{name}: {json.dumps(value)}"  # which is YAML, and one line also for what has several
        empty = re.compile(rf"^{name}:(?:[ \t]*(?:\"\"|''|~|null))?(?P<comment>[ \t]+#.*)?[ \t]*$", re.MULTILINE)
        if name in before:
            filled = empty.sub(partial(_with_comment, line), filled, count=1)
        else:
            filled = filled.rstrip("\n") + f"\n{line}\n"
    try:
        right = parse(filled) == before | made
    except InventoryInvalid:
        right = False
    if not right:
        raise InventoryInvalid(f"{VAULT} cannot be filled by itself; write {', '.join(made)} there as `name: value`")
    return filled, tuple(made)


def exchange(text: str, values: Mapping[str, str]) -> str:
    """The vault's text with other values for secrets that are there; the rest stays as it is.

    Raises:
        InventoryInvalid: one is not there, or is written in a way that cannot be exchanged.
    """
    before, changed = parse(text), text
    for name, value in values.items():
        written = re.compile(
            rf"^{name}:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'|>&*!#][^#\n]*?)(?P<comment>[ \t]+#.*)?[ \t]*$",
            re.MULTILINE,
        )
        changed = written.sub(partial(_with_comment, f"{name}: {json.dumps(value)}"), changed, count=1)
    if not values.keys() <= before.keys() or parse(changed) != {**before, **values}:
        raise InventoryInvalid(f'{VAULT} cannot be changed by itself; write each secret there as `name: "value"`')
    return changed


def parse(text: str) -> dict[str, Any]:
    """The vault's variables.

    Raises:
        InventoryInvalid: it is not a mapping of names to values. The message does not show its content.
    """
    try:
        document = load_yaml(text) or {}
    except NotYaml as error:
        raise InventoryInvalid(f"{VAULT} is not YAML{f', in line {error.line}' if error.line else ''}") from None
    if not isinstance(document, dict):
        raise InventoryInvalid(f"{VAULT} must be a mapping of names to values")
    return document


def _with_comment(line: str, match: re.Match[str]) -> str:
    return line + (match["comment"] or "")


def _environment(password: Path) -> Mapping[str, str]:
    return environment(os.environ, roles=shipped("roles"), vault_password=password)
