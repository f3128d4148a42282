"""From bare hosts to a cluster that transcribes, by the operator's own command."""

from __future__ import annotations

import shlex

import pytest
from support.deployed import SAMPLE, V2T, place, transcribe, words
from support.lab import Lab
from support.operator import Operator

pytestmark = pytest.mark.cluster


def changed_hosts(said: dict[str, object]) -> dict[str, int]:
    hosts = said["data"]["hosts"]  # type: ignore[index]
    return {name: facts["changed"] for name, facts in hosts.items()}


def test_a_deployed_cluster_can_transcribe(cluster: Lab) -> None:
    host = cluster.host("m4-1")
    health = host.run(f"{V2T} health")
    assert health.code == 0, health.output


def test_speech_is_heard_by_the_cluster(cluster: Lab) -> None:
    host = cluster.host("m4-1")
    place(host, [SAMPLE], "/var/tmp/sample")
    assert words(transcribe(host, "/var/tmp/sample/jfk.wav")) == words(SAMPLE.with_suffix(".txt").read_text())


def test_a_second_deployment_changes_nothing(cluster: Lab, operator: Operator) -> None:
    assert set(changed_hosts(operator.deploy()).values()) == {0}


def test_looking_at_a_deployed_cluster_finds_nothing_to_change(cluster: Lab, operator: Operator) -> None:
    assert set(changed_hosts(operator.deploy("--check")).values()) == {0}


def test_no_secret_stands_in_a_unit_or_on_a_command_line(cluster: Lab, operator: Operator) -> None:
    for host in cluster.hosts.values():
        seen = host.read("systemctl cat 'v2t-*' --no-pager; ps axww -o args; cat /etc/v2t/config.toml || true")
        for secret in operator.secrets():
            assert secret not in seen


def test_postgresql_refuses_plain_text(cluster: Lab) -> None:
    ask = "import psycopg; psycopg.connect('host=m2 user=v2t dbname=v2t password=x sslmode=disable connect_timeout=5')"
    refused = cluster.host("m4-1").run(f'/opt/v2t/application/current/bin/python -c "{ask}" 2>&1')
    assert refused.code == 1
    assert "no encryption" in refused.output


def test_temporal_refuses_a_client_without_a_certificate(cluster: Lab) -> None:
    command = "sleep 2 | timeout 5 openssl s_client -connect m2:7233 -CAfile /etc/v2t/ca.crt -alpn h2 2>&1; true"
    assert "certificate required" in cluster.host("m4-1").run(command).output


def test_minio_refuses_those_it_does_not_know(cluster: Lab) -> None:
    command = "curl --silent --cacert /etc/v2t/ca.crt https://m2:9000/v2t-audio/"
    assert "AccessDenied" in cluster.host("m4-1").read(command)


def test_minio_lets_a_worker_read_models_and_bring_none(cluster: Lab) -> None:
    ask = """
import io
from v2t.config import load_settings
from v2t.storage.minio_client import open_client
from v2t.wiring import store_account
store = open_client(store_account(load_settings()))
print(*(model.object_name for model in store.list_objects("v2t-models", recursive=True)), flush=True)
store.put_object("v2t-models", "models/mine", io.BytesIO(b"x"), 1)
"""
    python = "sudo -u v2t /opt/v2t/application/current/bin/python"
    refused = cluster.host("m4-1").run(f"cd / && {python} -c {shlex.quote(ask)} 2>&1")
    assert refused.code == 1, refused.output
    assert refused.output.startswith("models/"), refused.output
    assert "AccessDenied" in refused.output, refused.output


def test_redis_refuses_plain_text_and_strangers(cluster: Lab) -> None:
    plain = cluster.host("m4-1").run("timeout 5 bash -c 'exec 3<>/dev/tcp/m2/6379; echo PING >&3; head -c 5 <&3'")
    assert "PONG" not in plain.output
    ask = "import redis; redis.Redis('m2', ssl=True, ssl_ca_certs='/etc/v2t/ca.crt').ping()"
    stranger = cluster.host("m4-1").run(f'/opt/v2t/application/current/bin/python -c "{ask}" 2>&1')
    assert stranger.code == 1
    assert "to authenticate the client" in stranger.output, stranger.output
