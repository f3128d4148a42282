"""The operator's own v2t: what a deployment makes of it, what it may do, and what it may not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.deployed import SAMPLE, words
from support.lab import Lab
from support.operator import Operator

pytestmark = pytest.mark.cluster

TEXT = words(SAMPLE.with_suffix(".txt").read_text())


def v2t(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `v2t` on the operator's machine."""
    command = [sys.executable, "-m", "v2t", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def client(cluster: Lab, operator: Operator) -> dict[str, str]:
    """The environment in which v2t uses the cluster."""
    return {"V2T_CONFIG": str(operator.inventory / "client/config.toml")}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has never used v2t."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_DATA_HOME": str(tmp_path / "data")}


def test_the_cluster_is_healthy_from_where_the_operator_sits(client: dict[str, str]) -> None:
    health = v2t(client, "health", "--json")

    assert health.returncode == 0, health.stdout
    status = {part["name"]: part["status"] for part in json.loads(health.stdout)["data"]["parts"]}
    assert {status[name] for name in ("temporal", "workers", "object store", "database")} == {"ok"}


def test_the_operators_recording_is_heard_by_the_cluster_as_by_this_machine_alone(
    client: dict[str, str], home: dict[str, str]
) -> None:
    options = ("--quiet", "--model", "tiny.en")
    by_cluster = v2t(client, "transcribe", str(SAMPLE), *options)
    alone = v2t(home, "transcribe", str(SAMPLE), *options)

    assert (by_cluster.returncode, alone.returncode) == (0, 0), by_cluster.stderr + alone.stderr
    assert words(by_cluster.stdout) == words(alone.stdout) == TEXT


def test_the_operator_sees_the_clusters_jobs(client: dict[str, str]) -> None:
    jobs = v2t(client, "jobs", "list", "--text", "jfk", "--json")

    assert jobs.returncode == 0, jobs.stdout
    assert "jfk.wav" in {job["name"] for job in json.loads(jobs.stdout)["data"]["jobs"]}


def test_a_deployment_brings_the_cluster_into_use_unless_another_is(
    cluster: Lab, operator: Operator, tmp_path: Path
) -> None:
    somebody = Operator(operator.inventory, {"XDG_CONFIG_HOME": str(tmp_path)})
    user_file, config = tmp_path / "v2t/config.toml", operator.inventory / "client/config.toml"

    said = somebody.deploy("--tags", "client")
    assert (said["data"]["client"], user_file.resolve()) == ({"config": str(config), "active": True}, config)

    user_file.unlink()
    user_file.write_text("# mine\n")
    said = somebody.deploy("--tags", "client")
    assert (said["data"]["client"]["active"], user_file.read_text()) == (False, "# mine\n")


def test_what_is_secret_is_the_operators_alone(cluster: Lab, operator: Operator) -> None:
    folder = operator.inventory / "client"
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {name for name, mode in modes.items() if mode & 0o077} == {"ca.crt", "client.crt"}
    assert (folder / ".gitignore").read_text() == "*\n"


def test_the_operator_only_reads_the_records_and_no_other_database(cluster: Lab, operator: Operator) -> None:
    folder = operator.inventory / "client"
    tls = f"sslmode=verify-full sslrootcert={folder}/ca.crt sslcert={folder}/client.crt sslkey={folder}/client.key"

    def ask(database: str, user: str, query: str) -> str:
        where = f"host={cluster.host('m2').address} dbname={database} user={user} connect_timeout=5 {tls}"
        script = f"import psycopg; print(psycopg.connect({where!r}).execute({query!r}).fetchall())"
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr

    assert ask("v2t", "v2t-client", "SELECT count(*) FROM transcriptions") == ""
    assert "permission denied" in ask("v2t", "v2t-client", "DELETE FROM transcriptions RETURNING 1")
    for database, user in (("temporal", "v2t-client"), ("v2t", "v2t"), ("temporal", "temporal")):
        assert "no pg_hba.conf entry" in ask(database, user, "SELECT 1")


def test_a_certificate_of_a_host_is_not_the_operators(cluster: Lab) -> None:
    tls = "sslmode=verify-full sslrootcert=/etc/v2t/ca.crt sslcert=/etc/v2t/tls/v2t.crt sslkey=/etc/v2t/tls/v2t.key"
    ask = f"import psycopg; psycopg.connect('host=m2 dbname=v2t user=v2t-client {tls}')"
    refused = cluster.host("m4-1").run(f'sudo /opt/v2t/application/current/bin/python -c "{ask}" 2>&1')

    assert refused.code == 1
    assert "certificate authentication failed" in refused.output


def test_the_workers_have_their_model_from_the_clusters_bucket(client: dict[str, str], cluster: Lab) -> None:
    pushed = v2t(client, "models", "push", "tiny.en", "--format", "ct2", "--json")
    assert json.loads(pushed.stdout)["data"]["pushed"] == [], pushed.stdout

    script = (
        "import tempfile, pathlib; from v2t import wiring; from v2t.config import load_settings; "
        "from v2t.weights.bucket import Bucket; from v2t.weights.catalogue import find_model; "
        "folder = pathlib.Path(tempfile.mkdtemp()); settings = load_settings(); "
        "source = Bucket(lambda: wiring.open_bucket_store(settings)); "
        "print(len(source.deliver(find_model('tiny.en', 'ct2'), folder, print)))"
    )
    command = f'cd /tmp && sudo -u v2t /opt/v2t/application/current/bin/python -c "{script}"'
    assert int(cluster.host("m4-1").read(command).splitlines()[-1]) > 1
