"""Short commands on a host, and what they tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2t.domain.errors import ConfigurationError, ProviderFailed
from v2t.providers._answers import plain
from v2t.providers.whisper_command import quote

if TYPE_CHECKING:
    import paramiko

_SECONDS = 15.0
"""How long a short command may take: a host that swaps is slow."""

_LIMIT_BYTES = 64 * 1024
_KILOBYTE = 1024


def run_briefly(transport: paramiko.Transport, argv: list[str]) -> tuple[int, str]:
    """Run a command that answers at once.

    Returns:
        Its exit code, or -1 where a signal ended it, and what it said on both of its outputs.

    Raises:
        TimeoutError, paramiko.SSHException, EOFError: it did not end in time, or could not be asked.
    """
    with transport.open_session() as channel:
        channel.settimeout(_SECONDS)
        channel.set_combine_stderr(combine=True)
        channel.exec_command(quote(argv))
        channel.shutdown_write()
        said = b""
        while len(said) < _LIMIT_BYTES and (data := channel.recv(_LIMIT_BYTES)):
            said += data
        return channel.recv_exit_status(), said.decode("utf-8", errors="replace")


def check_model(files: paramiko.SFTPClient, path: str, host: object) -> int:
    """The size of a model's file. Raises ConfigurationError where there is none."""
    try:
        return files.stat(path).st_size or 0
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no model {plain(path)} on {host}; put it there, or set ssh_whisper.model_path"
        ) from None


def free_bytes(transport: paramiko.Transport, folder: str) -> int:
    """The space that the account may still use in a folder.

    Raises:
        ProviderFailed: the host does not say.
        TimeoutError, paramiko.SSHException, EOFError: as run_briefly.
    """
    code, said = run_briefly(transport, ["env", "LC_ALL=C", "df", "-Pk", folder])
    for line in said.splitlines()[1:]:
        # POSIX, df -P: file system, total, used, available, percentage, mount point; only the first may hold spaces
        figures = line.split("%")[0].split()
        if code == 0 and len(figures) > 4 and figures[-2].isdecimal():
            return int(figures[-2]) * _KILOBYTE
    raise ProviderFailed(f"the host does not tell how much space is free: {plain(said) or code}")
