"""Logging in at a real sshd of this account, and each way that fails."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ssh_server import SshServer, make_key, serve_ssh, settings_for

from v2t.domain.errors import ConfigurationError, CredentialsRefused, ProviderUnreachable, V2TError
from v2t.providers.ssh_login import Stages, close_connection, find_host, open_connection

pytestmark = pytest.mark.servers  # sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with serve_ssh(tmp_path_factory.mktemp("ssh") / "server") as server:
        yield server


@pytest.fixture(scope="module")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key that no server knows."""
    path = tmp_path_factory.mktemp("keys") / "other"
    make_key(path)
    return path


@pytest.fixture(autouse=True)
def _without_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def log_in(server: SshServer, **changes: Any) -> list[str]:
    """Log in and leave again; the stages that were reached."""
    settings = settings_for(server, Path("/tmp"), **changes)
    stages = Stages()
    connection = open_connection(find_host(settings.hosts[0], settings), settings, stages)
    assert connection.is_connected
    close_connection(connection)
    assert not connection.is_connected
    return list(stages.ended)


def refusal(server: SshServer, kind: type[V2TError], **changes: Any) -> str:
    with pytest.raises(kind) as caught:
        log_in(server, **changes)
    assert "\n" not in caught.value.message
    return caught.value.message


def pinned(path: Path) -> str:
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def test_a_host_has_the_users_and_ports_of_its_address_or_of_the_section(server: SshServer) -> None:
    settings = settings_for(server, Path("/tmp"), user="whisper", port=2200)
    assert (str(find_host("m4", settings)), find_host("m4", settings).user) == ("m4:2200", "whisper")
    assert find_host("ada@[::1]:22", settings).known_as == "::1"
    assert find_host("ada@m4:22", settings).user == "ada"
    with pytest.raises(ConfigurationError, match="user@HOST:PORT"):
        find_host("m4; rm -rf /", settings)


def test_a_known_host_takes_a_known_key(server: SshServer) -> None:
    assert log_in(server) == ["connect", "host key", "login"]


def test_a_file_of_known_hosts_with_hashed_names(server: SshServer, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"# a comment\n\n{server.known_hosts.read_text()}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known_hosts], check=True, capture_output=True)
    assert "127.0.0.1" not in known_hosts.read_text()
    assert log_in(server, known_hosts=str(known_hosts))


def test_a_pinned_key_needs_no_file_of_known_hosts(server: SshServer, tmp_path: Path) -> None:
    assert log_in(server, host_key=server.host_key, known_hosts=str(tmp_path / "none"))


def test_an_unknown_host_is_refused_with_its_fingerprint_and_what_to_do(server: SshServer, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    for text in (None, "", f"elsewhere {server.host_key}\n"):
        if text is not None:
            known_hosts.write_text(text)
        said = refusal(server, CredentialsRefused, known_hosts=str(known_hosts))
        fingerprint = subprocess.run(
            ["ssh-keygen", "-lf", server.folder / "host_key.pub"], capture_output=True, text=True, check=True
        ).stdout.split()[1]
        assert f"ssh-ed25519 {fingerprint}" in said
        assert f"ssh-keyscan -p {server.port} 127.0.0.1 >> {known_hosts}" in said


@pytest.mark.parametrize("line", ["a ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", "a ssh-rsa AA=A", "\0", "a b \udcff"])
def test_a_damaged_file_of_known_hosts_lets_nobody_in(server: SshServer, tmp_path: Path, line: str) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(line, errors="surrogateescape")
    said = refusal(server, ConfigurationError, known_hosts=str(known_hosts))
    assert str(known_hosts) in said


def test_another_key_than_the_known_one_is_refused(server: SshServer, tmp_path: Path, other_key: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{server.port} {pinned(other_key)}\n")
    said = refusal(server, CredentialsRefused, known_hosts=str(known_hosts))
    assert "another key than the known one" in said
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}' -f {known_hosts}" in said


def test_another_key_than_the_pinned_one_is_refused(server: SshServer, other_key: Path) -> None:
    said = refusal(server, CredentialsRefused, host_key=pinned(other_key))
    assert "another key than the known one" in said
    assert "ssh_whisper.host_key" in said


def test_a_pinned_key_that_is_none_is_named(server: SshServer) -> None:
    assert "ssh_whisper.host_key" in refusal(server, ConfigurationError, host_key="ssh-ed25519 AAAA")


def test_a_key_that_the_host_does_not_take(server: SshServer, other_key: Path) -> None:
    said = refusal(server, CredentialsRefused, key_file=str(other_key))
    assert f"does not take the key {other_key} for the account" in said
    assert "authorized_keys" in said


def test_an_account_that_is_not_there(server: SshServer) -> None:
    assert "nobody-at-all" in refusal(server, CredentialsRefused, hosts=(f"nobody-at-all@127.0.0.1:{server.port}",))


def test_a_key_in_a_file_that_cannot_be_used_is_named(server: SshServer, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_text("no key\n")
    for path in (tmp_path / "none", tmp_path, damaged):
        said = refusal(server, ConfigurationError, key_file=str(path))
        assert said.startswith(f"ssh_whisper.key_file {path}: ")


def test_a_key_with_a_passphrase(server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, secret = tmp_path / "locked", "open sesame"
    make_key(path, secret)
    server.authorize(path)
    assert log_in(server, key_file=str(path), key_passphrase=secret)
    assert "set ssh_whisper.key_passphrase" in refusal(server, ConfigurationError, key_file=str(path))
    monkeypatch.setenv("WRONG", "wrong words")
    wrong = {"key_passphrase": "env:WRONG"}
    said = refusal(server, ConfigurationError, key_file=str(path), **wrong)
    assert "ssh_whisper.key_passphrase does not open it" in said
    assert "wrong words" not in said


def test_the_keys_of_an_agent(server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "agent"
    if not shutil.which("ssh-agent"):
        pytest.skip("there is no ssh-agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    try:
        while not place.exists():
            assert agent.poll() is None
        assert "any key of the SSH agent" in refusal(server, CredentialsRefused, key_file="")
        subprocess.run(["ssh-add", "-q", server.key_file], check=True, env=os.environ)
        assert log_in(server, key_file="")
    finally:
        agent.terminate()
        agent.wait()


def test_without_a_key_or_an_agent_nobody_is_let_in(server: SshServer) -> None:
    assert "ssh_whisper.key_file" in refusal(server, CredentialsRefused, key_file="")


def test_nobody_there(server: SshServer) -> None:
    assert "Connection refused" in refusal(server, ProviderUnreachable, hosts=("127.0.0.1:1",))
    assert "not known by that name" in refusal(server, ProviderUnreachable, hosts=("none.invalid",))


def test_somebody_there_who_says_nothing(server: SshServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as quiet:
        host = f"127.0.0.1:{quiet.getsockname()[1]}"
        said = refusal(server, ProviderUnreachable, hosts=(host,), connect_seconds=0.3)
    assert said.startswith(f"{host} does not answer by SSH")


def test_a_connection_that_breaks_during_the_login_is_no_refusal(server: SshServer) -> None:
    class Cut(Stages):
        def end(self, name: str) -> None:
            super().end(name)
            if name == "host key":
                server.cut()

    settings = settings_for(server, Path("/tmp"))
    with pytest.raises(ProviderUnreachable, match="during the login"):
        open_connection(find_host(server.address, settings), settings, Cut())


def test_the_way_through_a_jump_host(server: SshServer, tmp_path: Path, other_key: Path) -> None:
    with serve_ssh(tmp_path / "gate") as gate:
        gate.authorize(server.key_file)
        known_hosts = tmp_path / "both"
        known_hosts.write_text(server.known_hosts.read_text() + gate.known_hosts.read_text())
        through = {"jump_host": gate.address, "known_hosts": str(known_hosts)}
        before = server.logins, gate.logins
        assert log_in(server, **through)
        assert (server.logins, gate.logins) == (before[0] + 1, before[1] + 1)

        known_hosts.write_text(server.known_hosts.read_text())
        said = refusal(server, CredentialsRefused, **through)
        assert said.startswith(f"the key of the jump host 127.0.0.1:{gate.port} is not known")
        gate.stop()
        assert "jump host" in refusal(server, ProviderUnreachable, **through)


def test_nothing_outside_the_section_says_how_to_connect(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Port 1\n  ProxyCommand false\n  User nobody-at-all\n")
    (tmp_path / ".fabric.yaml").write_text("port: 1\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert log_in(server)
