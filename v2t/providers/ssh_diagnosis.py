"""Finds out why something failed on a host."""

from __future__ import annotations

import paramiko

from v2t.domain.errors import (
    ConfigurationError,
    EngineCrashed,
    ProviderBusy,
    ProviderFailed,
    ProviderUnreachable,
    V2TError,
)
from v2t.providers._answers import plain
from v2t.providers.ssh_commands import free_bytes
from v2t.providers.ssh_login import Host

_FULL_BYTES = 64 * 1024
"""A disk with less than this is taken for full: some file systems keep a few blocks for themselves."""

_NEWS_SECONDS = 0.1
"""A connection that breaks tells its channels a moment before it says so itself."""


class Diagnosis:
    """What is known of a host when something failed there.

    Args:
        host: the host.
        transport: the connection to it.
        folder: the folder there that is written to.
    """

    def __init__(self, host: Host, transport: paramiko.Transport, folder: str) -> None:
        self._host = host
        self._transport = transport
        self._folder = folder

    def failed(self, what: str) -> V2TError:
        """The error for a step that failed, by its reason where that is a broken connection or a full disk."""
        return self._known() or ProviderFailed(f"{self._host}: {what}")

    def no_folder(self, reason: str) -> V2TError:
        """The error for a private folder that could not be made."""
        return self._known() or ConfigurationError(
            f"no folder can be made in {plain(self._folder)} on {self._host}: {reason or 'mkdir failed'}; set "
            "ssh_whisper.folder to one that the account may write"
        )

    def no_files(self) -> V2TError:
        """The error for a host that takes no files."""
        return self._broken() or ConfigurationError(
            f"{self._host} takes no files by SFTP; have `Subsystem sftp internal-sftp` in its sshd_config"
        )

    def died(self, what: str) -> V2TError:
        """The error for something that ended without a word."""
        return self._broken() or EngineCrashed(what)

    def _known(self) -> V2TError | None:
        return self._broken() or self._full()

    def _broken(self) -> V2TError | None:
        self._transport.join(_NEWS_SECONDS)
        return None if self._transport.is_active() else ProviderUnreachable(f"the connection to {self._host} broke")

    def _full(self) -> V2TError | None:
        try:
            if free_bytes(self._transport, self._folder) >= _FULL_BYTES:
                return None
        except (ProviderFailed, paramiko.SSHException, OSError, EOFError):
            return None
        return ProviderFailed(f"the disk of {self._host} is full at {plain(self._folder)}; free some space there")


def too_many_sessions(host: Host) -> ProviderBusy:
    """The error for a host that opens no more channels on a connection."""
    return ProviderBusy(
        f"{host} opens no more sessions; lower ssh_whisper.requests_per_host, or raise MaxSessions in its sshd_config"
    )
