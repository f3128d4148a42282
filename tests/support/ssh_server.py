"""A real sshd of this account on loopback, with keys of its own, and the ways to break it."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.processes import children_of
from v2t.config.ssh_whisper import SshWhisperSettings
from v2t.process.ports import LOOPBACK, free_port

STAND_IN = Path(__file__).with_name("stand_in_whisper.sh")

SFTP = "Subsystem sftp internal-sftp"

_SSHD = "/usr/sbin/sshd"  # it must be started by its whole path
_START_SECONDS = 10.0

_SETTINGS = """\
ListenAddress {address}:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
SetEnv HOME={folder}
LogLevel VERBOSE
{more}
"""


@dataclass
class SshServer:
    """One sshd, and what a client needs to know of it."""

    folder: Path
    more: str = SFTP  # lines for its settings
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        make_key(self.folder / "host_key")
        make_key(self.key_file)
        self.authorize(self.key_file)
        self.known_hosts.write_text(f"[{LOOPBACK}]:{self.port} {self.host_key}\n")
        (self.folder / "settings").write_text(
            _SETTINGS.format(address=LOOPBACK, port=self.port, folder=self.folder, more=self.more)
        )

    def authorize(self, key_file: Path) -> None:
        """Let one more key in, for no more than the provider needs: commands, files, and the way to another host."""
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(f"restrict,port-forwarding {key_file.with_suffix('.pub').read_text()}")

    @property
    def address(self) -> str:
        return f"{getpass.getuser()}@{LOOPBACK}:{self.port}"

    @property
    def key_file(self) -> Path:
        return self.folder / "client"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def host_key(self) -> str:
        """Its public key without the comment."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    @property
    def logins(self) -> int:
        """How many connections came as far as a login."""
        return (self.folder / "log").read_text().count("Accepted publickey")

    @property
    def sessions(self) -> list[int]:
        """The processes of the connections there are."""
        return [] if self.process is None else list(children_of(self.process.pid))

    def start(self) -> None:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # which root's sshd insists on
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([_SSHD, "-D", "-e", "-f", self.folder / "settings"], stderr=log)
        begun = time.monotonic()
        while not self._answers():
            assert time.monotonic() - begun < _START_SECONDS, (self.folder / "log").read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        """End it and all connections, as a machine does that is switched off."""
        if self.process is None:
            return
        sessions = self.sessions
        self.process.kill()
        self.process.wait()
        self.process = None
        for pid in sessions:
            _kill(pid)

    def cut(self) -> None:
        """End the connections there are, and no more."""
        for pid in self.sessions:
            _kill(pid)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1) as probe:
            return probe.recv(4) == b"SSH-"
        return False


@contextmanager
def serve_ssh(folder: Path, more: str = SFTP) -> Iterator[SshServer]:
    """An sshd that runs; skips the test, saying why, where there is none."""
    if not Path(_SSHD).exists():
        print(f"ssh: {_SSHD} is not installed; `apt-get install openssh-server` installs it")
        pytest.skip(f"{_SSHD} is not installed")
    server = SshServer(folder, more)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def make_key(path: Path, passphrase: str = "") -> None:
    """A new pair of keys: PATH and PATH.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", path], check=True)


def _kill(pid: int) -> None:
    """Kill a connection's processes, of which the second works for the account, but nothing that runs for it."""
    workers = [child for child, command in children_of(pid).items() if command.startswith("sshd: ")]
    for process in (pid, *workers):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def settings_for(server: SshServer, work: Path, mode: str = "well", **changes: Any) -> SshWhisperSettings:
    """The section that reaches a server, whose whisper command only pretends; what it makes there is below `work`."""
    values = {
        "hosts": (server.address,),
        "key_file": str(server.key_file),
        "known_hosts": str(server.known_hosts),
        "folder": str(work),
        "model_path": str(STAND_IN),  # any file that is there
        "command": (str(STAND_IN), mode, "{model}", "{audio}", "{language}", "{output}"),
    }
    return SshWhisperSettings(**{**values, **changes})
