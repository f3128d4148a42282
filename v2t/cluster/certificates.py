"""The certificates of a cluster: what stands in them, and which have to be renewed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from v2t.domain.errors import CertificateDue, InventoryInvalid

OPERATOR = "operator"
"""Whose the certificates on this machine are; no host, as it stands in no inventory."""

ALL = "all"
_RENEW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, and where it stands."""

    host: str
    file: str
    subject: str
    ends_at: datetime
    names: Sequence[str] = ()
    """The DNS names and addresses that it is valid for."""

    def days_left(self, now: datetime) -> int:
        """Whole days; negative once it has ended."""
        return (self.ends_at - now).days


def parse(host: str, file: str, content: bytes) -> Certificate:
    """What stands in a PEM file.

    Raises:
        InventoryInvalid: it is no certificate.
    """
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        found = x509.load_pem_x509_certificate(content)
    except ValueError:
        raise InventoryInvalid(f"{host}: {file} is no certificate; `v2t cluster deploy` writes it anew") from None
    try:
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name.value) for name in alternatives]
    except x509.ExtensionNotFound:
        names = []
    common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    subject = str(common[0].value) if common else found.subject.rfc4514_string()
    return Certificate(host, file, subject, found.not_valid_after_utc, names)


def parse_told(told: Mapping[str, Mapping[str, Any]]) -> list[Certificate]:
    """The hosts' certificates, from what playbooks/certificates.yml says."""
    return [
        parse(host, file, _decode(host, file, content))
        for host, data in sorted(told.items())
        for file, content in data.get("certificates", {}).items()
    ]


def read_local(told: Mapping[str, Mapping[str, Any]]) -> list[Certificate]:
    """Those on the operator's machine, the authority's and the operator's own, where the playbook says they are."""
    paths = {Path(path).expanduser() for data in told.values() for path in data.get("local", ())}
    return [parse(OPERATOR, str(path), path.read_bytes()) for path in sorted(paths) if path.is_file()]


def renew_days(variables: Mapping[str, Mapping[str, Any]]) -> Mapping[str, int]:
    """Host → how many days before its end a certificate counts as due."""
    stated = {host: values.get("pki_renew_days", _RENEW_DAYS) for host, values in variables.items()}
    days = {host: value if isinstance(value, int) else _RENEW_DAYS for host, value in stated.items()}
    return {**days, OPERATOR: max(days.values(), default=_RENEW_DAYS)}


def renewed(told: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Host → the certificates that a run has made anew, by their names."""
    return {host: sorted(set(data["renewed"])) for host, data in sorted(told.items()) if data.get("renewed")}


def due(found: Sequence[Certificate], days: Mapping[str, int], now: datetime) -> tuple[CertificateDue, ...]:
    """An error for each that has ended or soon will."""
    return tuple(
        CertificateDue(f"{one.host}: {one.file} {_when(one.days_left(now))}; {_step(one)}")
        for one in found
        if one.days_left(now) < days.get(one.host, _RENEW_DAYS)
    )


def now() -> datetime:
    """The present, as certificates count it."""
    return datetime.now(UTC)


def _when(days: int) -> str:
    return f"ends in {days} days" if days >= 0 else f"has ended {-days} days ago"


def _step(one: Certificate) -> str:
    if Path(one.file).name == "ca.crt":
        return "the authority is not renewed by v2t: a new one means new certificates on every host"
    return "`v2t cluster certs rotate` renews it"


def _decode(host: str, file: str, content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        raise InventoryInvalid(f"{host}: {file} could not be read") from None
