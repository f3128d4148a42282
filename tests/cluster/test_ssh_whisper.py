"""Whisper over SSH: what the key opens and what it does not, and speech that is heard by way of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.deployed import SAMPLE, V2T, place, words
from support.lab import Lab
from support.lab.control import Host
from support.operator import Operator

pytestmark = pytest.mark.cluster

TEXT = words(SAMPLE.with_suffix(".txt").read_text())
WITH_WHISPER, WORKER, STRANGER = "m4-2", "m4-1", "m2"
ACCOUNT, KEY, KNOWN_HOSTS = "v2t-whisper", "/etc/v2t/secrets/ssh-whisper", "/etc/v2t/ssh-whisper-known-hosts"
STEPS = ["resolve", "connect", "host key", "login", "folder", "command", "model", "sample"]


def ssh(cluster: Lab, *words: str) -> str:
    """The call by which a worker's account logs in to the host with Whisper."""
    address = cluster.host(WITH_WHISPER).address
    options = f"-i {KEY} -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile={KNOWN_HOSTS}"
    return f"sudo -u v2t ssh -F none {options} {' '.join(words)} {ACCOUNT}@{address}"


@pytest.fixture
def worker(cluster: Lab) -> Host:
    return cluster.host(WORKER)


def test_nothing_but_the_folder_of_its_work_is_the_accounts_own(cluster: Lab) -> None:
    host = cluster.host(WITH_WHISPER)

    modes = host.read("stat --format='%U %a %n' /var/lib/v2t/ssh-whisper /var/lib/v2t/ssh-whisper/*").splitlines()
    assert modes == [
        "root 750 /var/lib/v2t/ssh-whisper",
        "root 750 /var/lib/v2t/ssh-whisper/models",
        f"{ACCOUNT} 700 /var/lib/v2t/ssh-whisper/work",
    ]
    owned = host.read(f"find / -xdev -user {ACCOUNT} -not -path '/proc/*' -not -path '/var/lib/v2t/ssh-whisper/work/*'")
    assert owned.splitlines() == ["/var/lib/v2t/ssh-whisper/work"]
    assert host.read(f"id -nG {ACCOUNT}") == ACCOUNT


def test_the_key_opens_a_shell_without_rights(cluster: Lab, worker: Host) -> None:
    assert worker.read(f"{ssh(cluster)} id -un") == ACCOUNT
    assert worker.run(f"{ssh(cluster)} 'mkdir ~/.ssh'").code != 0
    assert worker.run(f"{ssh(cluster)} 'cat /etc/v2t/secrets/*'").code != 0


def test_the_key_opens_no_terminal_and_no_way_to_elsewhere(cluster: Lab, worker: Host) -> None:
    terminal = worker.run(f"{ssh(cluster, '-tt')} tty 2>&1")
    assert "PTY allocation request failed" in terminal.output
    assert "/dev/pts" not in terminal.output
    forwarded = worker.run(f"{ssh(cluster, '-W 127.0.0.1:22')} </dev/null 2>&1")
    assert "administratively prohibited" in forwarded.output
    assert "SSH-2.0" not in forwarded.output


def test_no_password_opens_the_account(cluster: Lab, worker: Host) -> None:
    asked = worker.run(f"{ssh(cluster, '-o PreferredAuthentications=password,keyboard-interactive')} true 2>&1")

    assert asked.code == 255
    assert "Permission denied (publickey)" in asked.output


def test_the_key_opens_nothing_from_a_host_that_is_no_worker(cluster: Lab, worker: Host) -> None:
    stranger, command = cluster.host(STRANGER), ssh(cluster, "-o StrictHostKeyChecking=no").replace("sudo -u v2t ", "")
    key = worker.read(f"sudo cat {KEY}")
    stranger.read(f"umask 077; cat >/root/key <<'END'\n{key}\nEND")
    try:
        refused = stranger.run(f"{command.replace(KEY, '/root/key').replace(KNOWN_HOSTS, '/dev/null')} true 2>&1")
    finally:
        stranger.read("rm /root/key")

    assert refused.code == 255
    assert "Permission denied (publickey)" in refused.output


def test_every_step_succeeds_from_a_worker_and_from_where_the_operator_sits(
    cluster: Lab, operator: Operator, worker: Host
) -> None:
    environment = {**os.environ, "V2T_CONFIG": str(operator.inventory / "client/config.toml")}
    arguments = ("providers", "test", "ssh_whisper", "--json")
    here = subprocess.run(
        [sys.executable, "-m", "v2t", *arguments], env=environment, capture_output=True, text=True, check=False
    )

    for text in (worker.run(f"{V2T} {' '.join(arguments)}").output, here.stdout):
        steps = json.loads(text)["data"]["steps"]
        assert [step["name"] for step in steps if step["ok"]] == STEPS, text


def test_speech_is_heard_by_way_of_it(cluster: Lab, worker: Host) -> None:
    place(worker, [SAMPLE], "/var/tmp/whisper")

    command = f"{V2T} transcribe /var/tmp/whisper/jfk.wav --provider ssh_whisper --language en --json"
    heard = worker.run(f"{command} 2>/dev/null")  # where the progress is told

    assert heard.code == 0, heard.output
    (file,) = json.loads(heard.output)["data"]["files"]
    assert words(file["transcript"]["text"]) == TEXT
    assert file["transcript"]["provider"] == "ssh_whisper"
    assert cluster.host(WITH_WHISPER).read("ls /var/lib/v2t/ssh-whisper/work") == ""
