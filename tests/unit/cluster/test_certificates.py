from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from v2t.cluster.certificates import OPERATOR, due, parse, parse_told, read_local, renew_days, renewed
from v2t.domain.errors import InventoryInvalid

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def make(name: str, days: float, *alternatives: x509.GeneralName) -> bytes:
    """A certificate that ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_certificate_says_whose_it_is_for_what_and_how_long() -> None:
    address = x509.IPAddress(ipaddress.ip_address("10.0.0.2"))

    found = parse("m2", "/etc/v2t/tls/minio.crt", make("minio", 40.5, x509.DNSName("m2"), address))

    assert (found.subject, found.names, found.days_left(NOW)) == ("minio", ["m2", "10.0.0.2"], 40)


def test_what_is_no_certificate_is_named_with_its_place() -> None:
    with pytest.raises(InventoryInvalid, match=r"m2: /etc/v2t/tls/minio\.crt is no certificate"):
        parse("m2", "/etc/v2t/tls/minio.crt", b"nothing")
    with pytest.raises(InventoryInvalid, match="could not be read"):
        parse_told({"m2": {"certificates": {"/a.crt": "*"}}})


def test_those_of_all_hosts_and_of_the_operator_are_found(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(make("v2t authority", 3000))
    places = [str(tmp_path / "ca.crt"), str(tmp_path / "client.crt")]
    told = {
        "m4-1": {"certificates": {"/etc/v2t/tls/v2t.crt": encoded(make("v2t", 10))}, "local": places},
        "m2": {"certificates": {"/etc/v2t/tls/redis.crt": encoded(make("redis", 100))}, "local": places},
    }

    assert [(one.host, one.subject) for one in parse_told(told)] == [("m2", "redis"), ("m4-1", "v2t")]
    assert [(one.host, one.subject) for one in read_local(told)] == [(OPERATOR, "v2t authority")]


def test_one_that_ends_soon_is_an_error_that_names_the_next_step() -> None:
    found = [
        parse("m2", "/etc/v2t/tls/redis.crt", make("redis", 29.5)),
        parse("m2", "/etc/v2t/tls/minio.crt", make("minio", 30.5)),
        parse("m4-1", "/etc/v2t/tls/v2t.crt", make("v2t", -2.5)),
        parse(OPERATOR, "/pki/ca.crt", make("v2t authority", 1)),
    ]

    errors = due(found, renew_days({"m2": {}, "m4-1": {}}), NOW)

    assert [error.message.partition(";")[0] for error in errors] == [
        "m2: /etc/v2t/tls/redis.crt ends in 29 days",
        "m4-1: /etc/v2t/tls/v2t.crt has ended 3 days ago",
        "operator: /pki/ca.crt ends in 1 days",
    ]
    assert "`v2t cluster certs rotate`" in errors[0].message
    assert "certs rotate" not in errors[2].message
    assert {error.exit_code for error in errors} == {1}


def test_how_soon_is_what_the_inventory_says_for_the_host() -> None:
    days = renew_days({"m2": {"pki_renew_days": 90}, "m4-1": {"pki_renew_days": "{{ a }}"}})

    assert days == {"m2": 90, "m4-1": 30, OPERATOR: 90}


def test_what_a_run_made_anew_is_told_once() -> None:
    told = {"m2": {"renewed": ["redis", "minio", "redis"]}, "m4-1": {}}

    assert renewed(told) == {"m2": ["minio", "redis"]}
