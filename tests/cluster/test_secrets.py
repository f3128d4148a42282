"""The cluster's secrets: all are exchanged, the old ones open nothing any more, and an interruption is healed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.deployed import SAMPLE, make_clips, wait_healthy, words
from support.lab import Lab
from support.operator import Operator

from v2t.cluster import vault

pytestmark = pytest.mark.cluster

TEXT = words(SAMPLE.with_suffix(".txt").read_text())


def v2t(operator: Operator, *arguments: str) -> Any:
    """What `v2t` says on the operator's machine; it must succeed."""
    environment = {**os.environ, "V2T_CONFIG": str(operator.inventory / "client/config.toml")}
    command = [sys.executable, "-m", "v2t", *arguments, "--json"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert said.returncode == 0, said.stdout[-2000:] + said.stderr[-2000:]
    return json.loads(said.stdout)["data"]


def heard(operator: Operator, recording: Path) -> list[str]:
    """The words of a recording that the cluster has not heard before."""
    return words(v2t(operator, "transcribe", str(recording))["files"][0]["transcript"]["text"])


def secrets_of(operator: Operator) -> dict[str, str]:
    """Every secret of the inventory's vault, by name."""
    return vault.parse(vault.read_vault(operator.inventory, operator.inventory / vault.PASSWORD))


def database_lets_in(cluster: Lab, user: str, database: str, password: str) -> bool:
    address = f"postgresql://{user}:{password}@m2/{database}?sslmode=require"
    script = f"import psycopg; psycopg.connect('{address}')"
    return cluster.host("m4-1").run(f'/opt/v2t/application/current/bin/python -c "{script}"').code == 0


def rotate(operator: Operator, *names: str) -> dict[str, Any]:
    said = operator.run("secrets", "rotate", *names, "--inventory", str(operator.inventory), "--yes")
    assert said["exit_code"] == 0, said["errors"]
    return said


@pytest.fixture(scope="module")
def old(cluster: Lab, operator: Operator) -> dict[str, str]:
    """The secrets before any was exchanged."""
    return secrets_of(operator)


def test_all_are_exchanged_and_no_job_is_lost(
    cluster: Lab, operator: Operator, old: dict[str, str], tmp_path: Path
) -> None:
    make_clips(tmp_path, 30, "secrets")
    batch = v2t(operator, "batch", str(tmp_path), "--language", "en", "--no-wait")["batch_id"]

    exchanged = rotate(operator)["data"]["exchanged"]

    after = secrets_of(operator)
    assert len(set(old.values()) - set(after.values())) == len(exchanged) == 11
    ends = [file["state"] for file in v2t(operator, "batches", "watch", batch)["files"]]
    assert ends == ["completed"] * 30
    assert heard(operator, make_clips(tmp_path, 1, "after")[0]) == TEXT
    wait_healthy(cluster.host("m4-1"))
    assert all(step["ok"] for step in v2t(operator, "providers", "test", "ssh_whisper")["steps"])


def test_the_old_passwords_of_the_database_open_nothing(cluster: Lab, operator: Operator, old: dict[str, str]) -> None:
    new = secrets_of(operator)
    for user in ("v2t", "temporal"):
        name = f"vault_postgresql_{user}_password"
        assert not database_lets_in(cluster, user, user, old[name])
        assert database_lets_in(cluster, user, user, new[name])


def test_an_interrupted_exchange_is_healed_by_another(cluster: Lab, operator: Operator, tmp_path: Path) -> None:
    names = ("vault_minio_root_password", "vault_redis_password", "vault_postgresql_v2t_password")
    running = operator.begin("secrets", "rotate", *names, "--inventory", str(operator.inventory), "--yes")
    assert running.stderr
    for line in running.stderr:
        if "redis on m2" in line:
            break
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=120)
    assert running.returncode == 130
    time.sleep(1)

    rotate(operator, *names)

    wait_healthy(cluster.host("m4-1"))
    assert heard(operator, make_clips(tmp_path, 1, "healed")[0]) == TEXT


def test_no_log_has_a_secret(cluster: Lab, operator: Operator) -> None:
    text = "".join(path.read_text() for path in (operator.inventory / "log").iterdir())
    text += (operator.inventory / "audit.log").read_text()
    assert [secret for secret in operator.secrets() if secret in text] == []
