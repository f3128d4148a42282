from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from v2t.cli import cluster_options
from v2t.cli.cluster import group
from v2t.cluster import playbook
from v2t.cluster.certificates import now
from v2t.cluster.inventory import Inventory
from v2t.cluster.playbook import Ended, OnChange, PlaybookRun


def make(name: str, days: int) -> str:
    """A certificate that ends in so many days, as a host's is told."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=days, hours=1))
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[PlaybookRun]:
    """The playbooks that were run, on a cluster with two certificates, one of which ends soon."""
    found: list[PlaybookRun] = []
    told: dict[str, dict[str, Any]] = {
        "m2": {"certificates": {"/etc/v2t/tls/redis.crt": make("redis", 100)}, "renewed": ["redis"]},
        "m4-1": {"certificates": {"/etc/v2t/tls/v2t.crt": make("v2t", 5)}},
    }

    def run(run: PlaybookRun, _on_change: OnChange) -> Ended:
        found.append(run)
        counts = {"ok": 3, "changed": 1, "failures": 0, "unreachable": 0, "skipped": 0}
        return Ended(0, Path("/log"), 61.0, dict.fromkeys(told, counts), [], told=told)

    inventory = Inventory(tmp_path, {"m2": {}, "m4-1": {}}, {"v2t": ("m2", "m4-1")})
    monkeypatch.setattr(cluster_options, "open_inventory", lambda _named, _password: (inventory, None, []))
    monkeypatch.setattr(playbook, "run_playbook", run)
    return found


def test_certificates_are_shown_the_first_to_end_first_and_one_that_is_due_is_an_error(runs: list[PlaybookRun]) -> None:
    outcome = CliRunner().invoke(group, ["certs", "status"])

    rows = [line.split()[:3] for line in outcome.stdout.splitlines()]
    assert rows == [["HOST", "SUBJECT", "DAYS"], ["m4-1", "v2t", "5"], ["m2", "redis", "100"]]
    assert outcome.exit_code == 1
    assert "m4-1: /etc/v2t/tls/v2t.crt ends in 5 days; `v2t cluster certs rotate` renews it" in outcome.stderr
    assert not runs[0].changes


def test_as_json_a_certificate_has_its_end_and_the_days_left(runs: list[PlaybookRun]) -> None:
    outcome = CliRunner().invoke(group, ["certs", "status", "--json"])

    redis = json.loads(outcome.stdout)["data"]["certificates"][0]
    assert (redis["host"], redis["subject"], redis["days_left"]) == ("m2", "redis", 100)
    assert runs


def test_all_are_renewed_by_the_whole_playbook(runs: list[PlaybookRun]) -> None:
    outcome = CliRunner().invoke(group, ["certs", "rotate", "--yes", "--json"])

    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["data"]["renewed"] == {"m2": ["redis"]}
    assert runs[0].command[-2:] == ['--extra-vars={"pki_renew": ["all"]}', str(runs[0].command[-1])]
    assert Path(runs[0].command[-1]).name == "site.yml"
    assert runs[0].changes


def test_those_that_are_named_are_renewed_on_the_hosts_that_are_named(runs: list[PlaybookRun]) -> None:
    outcome = CliRunner().invoke(group, ["certs", "rotate", "--yes", "--host", "m2", "--name", "redis"])

    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.splitlines()[0] == "m2: redis renewed"
    assert {"--limit=m2", '--extra-vars={"pki_renew": ["redis"]}'} <= set(runs[0].command)
    assert list(runs[0].told_as)[-2:] == ["--host=m2", "--name=redis"]


def test_a_name_that_no_certificate_has_is_told(runs: list[PlaybookRun]) -> None:
    outcome = CliRunner().invoke(group, ["certs", "rotate", "--yes", "--name", "redos"])

    assert outcome.exit_code == 2
    assert "no host has a certificate 'redos'" in outcome.stderr
    assert runs


def test_new_keys_must_be_meant(runs: list[PlaybookRun]) -> None:
    outcome = CliRunner().invoke(group, ["certs", "rotate"])

    assert outcome.exit_code == 2
    assert "--yes" in outcome.stderr
    assert not runs
