"""What a cluster holds is copied, read back, and there again when it was lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support.backups import backup, make_backup, restore_backup
from support.deployed import SAMPLE, V2T, jobs_of, place, wait_healthy
from support.lab import Lab
from support.lab.control import Host
from support.operator import Operator

pytestmark = pytest.mark.cluster

_FOLDER = "/var/lib/v2t/backup"
_DELETE = """
from v2t.config import load_settings
from v2t import wiring
job = {job!r}
wiring.open_bucket_store(load_settings()).delete_prefix(job + "/")
records = wiring.open_records(load_settings())
records.delete([job])
records.close()
"""


def result_of(host: Host, job: str) -> str:
    return host.read(f"{V2T} jobs result {job}")


@pytest.fixture
def worker(cluster: Lab) -> Host:
    return cluster.host("m4-1")


@pytest.fixture
def control(cluster: Lab) -> Host:
    return cluster.host("m2")


@pytest.fixture
def job(worker: Host) -> str:
    """A job whose transcript the cluster holds."""
    place(worker, [SAMPLE], "/tmp/backup")
    said = json.loads(worker.read(f"{V2T} transcribe /tmp/backup/{SAMPLE.name} --format json --quiet"))
    return str(said["job_id"])


def test_a_backup_is_made_listed_and_found_whole(operator: Operator, job: str) -> None:
    name = make_backup(operator)

    listed = {each["name"]: each for each in backup(operator, "list")["data"]["backups"]}
    assert listed[name]["objects"] >= 2  # the recording, and the transcript
    assert listed[name]["without_transcript"] == 0
    assert listed[name]["verified_at"] is None
    assert backup(operator, "verify", name)["exit_code"] == 0
    listed = {each["name"]: each for each in backup(operator, "list")["data"]["backups"]}
    assert listed[name]["verified_at"]


def test_a_backup_has_the_settings_and_no_secret_that_can_be_read(operator: Operator, control: Host, job: str) -> None:
    held = f"{_FOLDER}/{make_backup(operator)}/inventory"
    assert control.read(f"head -c 14 {held}/group_vars/all/vault.yml") == "$ANSIBLE_VAULT"
    assert "ENCRYPTED PRIVATE KEY" in control.read(f"head -1 {held}/pki/ca.key")
    assert "ansible_host" in control.read(f"cat {held}/hosts.yml")
    seen = control.read(f"cat $(find {held} -type f)")
    assert [secret for secret in operator.secrets() if secret in seen] == []
    assert control.read(f"stat -c '%a %U' {_FOLDER}") == "700 v2t-backup"


def test_an_object_that_is_damaged_in_a_backup_is_named(operator: Operator, control: Host, job: str) -> None:
    name = make_backup(operator)
    line = control.read(f"grep {job}/transcript.json {_FOLDER}/{name}/objects.jsonl")
    digest = json.loads(line)["sha256"]
    content = f"{_FOLDER}/objects/{digest[:2]}/{digest}"
    control.read(f"cp -p {content} /root/content && printf x >>{content}")
    try:
        said = backup(operator, "verify", name)
        assert said["exit_code"] == 1
        assert f"{job}/transcript.json" in said["errors"][0]["message"]
        refused = backup(operator, "restore", name, "--yes")
        assert refused["exit_code"] == 1
        assert "cannot be brought back" in refused["errors"][0]["message"]
        assert control.read("systemctl is-active v2t-temporal") == "active"  # nothing was stopped for it
    finally:
        control.read(f"cp -p /root/content {content}")
    assert backup(operator, "verify", name)["exit_code"] == 0


def test_an_interrupted_backup_is_none(operator: Operator, control: Host, job: str) -> None:
    before = [each["name"] for each in backup(operator, "list")["data"]["backups"]]
    draft = f"{_FOLDER}/2020-01-01T000000Z.incomplete"
    control.read("systemctl start --no-block v2t-backup && systemctl kill --signal=KILL v2t-backup; true")
    control.read(f"install -d -o v2t-backup -g v2t-backup {draft} && touch {draft}/objects.jsonl")
    assert [each["name"] for each in backup(operator, "list")["data"]["backups"]] == before
    make_backup(operator)
    assert control.run(f"ls -d {_FOLDER}/*.incomplete").code != 0


def test_what_was_lost_is_there_again(operator: Operator, worker: Host, job: str, tmp_path: Path) -> None:
    heard, jobs = result_of(worker, job), jobs_of(worker)
    name = make_backup(operator, "--to", str(tmp_path / "mine"))
    script = _DELETE.format(job=job)
    forget = "sudo -u v2t /opt/v2t/application/current/bin/python -"
    subprocess.run(worker.ssh_command(forget), input=script, text=True, check=True)
    assert job not in jobs_of(worker)

    said = restore_backup(operator, name)

    assert said["objects_sent"] >= 1
    assert jobs_of(worker) == jobs
    assert result_of(worker, job) == heard
    wait_healthy(worker)
    assert [path.name for path in (tmp_path / "mine").glob("2*")] == [name]
