"""Opening a connection to a host: its key is always checked, and each way to fail has an error of its own."""

from __future__ import annotations

import getpass
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fabric
import paramiko
from paramiko.auth_strategy import AuthSource, AuthStrategy, InMemoryPrivateKey
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from v2t.config.ssh_whisper import SshAddress, SshWhisperSettings
from v2t.domain.errors import ConfigurationError, CredentialsRefused, ProviderUnreachable

_SSH_PORT = 22
_BROKEN = re.compile("transport shut down|timeout")
"""As paramiko 5.1 says it in auth_handler.py, wait_for_response."""

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else it prints its failures, which are raised too


@dataclass(frozen=True, slots=True)
class Host:
    """A host as it is logged in to."""

    name: str
    port: int
    user: str

    def __str__(self) -> str:
        return self.name if self.port == _SSH_PORT else f"{self.name}:{self.port}"

    @property
    def known_as(self) -> str:
        """Its name in known_hosts: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""
        return self.name if self.port == _SSH_PORT else f"[{self.name}]:{self.port}"


@dataclass(slots=True)
class Stages:
    """Which stages of opening a connection are done, and when they were: `connect`, `host key`, `login`."""

    ended: dict[str, float] = field(default_factory=dict)

    def end(self, name: str) -> None:
        """Note that a stage is done."""
        self.ended[name] = time.monotonic()


def find_host(text: str, settings: SshWhisperSettings) -> Host:
    """The host of an address, with the section's user and port where it has none. Raises ConfigurationError."""
    try:
        address = SshAddress.parse(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    return Host(address.host, address.port or settings.port, address.user or settings.user or _own_name())


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise ConfigurationError("the account has no name here; set ssh_whisper.user to the one there") from error


def open_connection(host: Host, settings: SshWhisperSettings, stages: Stages | None = None) -> fabric.Connection:
    """Connect, through the jump host where there is one, check the host's key, log in.

    Args:
        host: the host.
        settings: the section.
        stages: told which stages are done.

    Raises:
        ProviderUnreachable: nobody answers there.
        CredentialsRefused: the host's key is not the expected one, or it does not take ours.
        ConfigurationError: a file that the settings name cannot be read.
    """
    keys, stages = _load_keys(settings), stages or Stages()
    jump = find_host(settings.jump_host, settings) if settings.jump_host else None
    jump_settings = settings.model_copy(update={"host_key": ""})  # which is that of the host behind it
    gateway = _connection(jump, jump_settings, keys, Stages()) if jump else None
    connection = _connection(host, settings, keys, stages, gateway)
    try:
        if jump and gateway:
            with _failures_of(f"the jump host {jump}", jump, jump_settings):
                gateway.open()
        with _failures_of(str(host), host, settings):
            connection.open()
    except BaseException:
        close_connection(connection)
        raise
    stages.end("login")
    _keep_alive(connection, settings)
    return connection


def close_connection(connection: fabric.Connection) -> None:
    """Close it, and the one to the jump host."""
    for one in (connection, connection.gateway):
        if one is not None:
            with suppress(Exception):  # what is broken needs no closing
                one.client.close()


def _connection(
    host: Host,
    settings: SshWhisperSettings,
    keys: list[paramiko.PKey],
    stages: Stages,
    gateway: fabric.Connection | None = None,
) -> fabric.Connection:
    """A connection that is not open yet, and knows which keys the host may show."""

    def make_transport(sock: Any, **options: Any) -> paramiko.Transport:
        stages.end("connect")
        return paramiko.Transport(sock, **options)

    seconds = settings.connect_seconds
    connection = fabric.Connection(
        host.name,
        user=host.user,
        port=host.port,
        gateway=gateway,
        config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),  # nothing else says how to connect
        connect_kwargs={
            **dict.fromkeys(("timeout", "banner_timeout", "auth_timeout", "channel_timeout"), seconds),
            "transport_factory": make_transport,
            "auth_strategy": _Keys(host.user, keys, lambda: stages.end("host key")),
        },
    )
    connection.client.set_missing_host_key_policy(_RefuseUnknown())  # fabric would take any
    _expect_key(connection.client, host, settings)
    return connection


class _UnknownKey(Exception):
    """A host showed a key though none is known of it."""

    def __init__(self, key: paramiko.PKey) -> None:
        super().__init__()
        self.key = key


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        raise _UnknownKey(key)


class _Keys(AuthStrategy):
    """Logs in with keys, once the host's key is checked."""

    def __init__(self, user: str, keys: list[paramiko.PKey], on_checked: Callable[[], None]) -> None:
        super().__init__(ssh_config=paramiko.SSHConfig())
        self._user = user
        self._keys = keys
        self._on_checked = on_checked

    def get_sources(self) -> Iterator[AuthSource]:
        """What to try, in this order."""
        self._on_checked()
        with ExitStack() as opened:
            keys: Sequence[paramiko.PKey] = self._keys
            if not keys:
                agent = paramiko.Agent()
                opened.callback(agent.close)
                keys = agent.get_keys()
            for key in keys:
                yield InMemoryPrivateKey(self._user, key)


def _load_keys(settings: SshWhisperSettings) -> list[paramiko.PKey]:
    """The key of the settings, or none where the agent is to be asked."""
    if not settings.key_file:
        return []
    passphrase: Any = settings.key_passphrase.reveal().encode() or None  # bytes work, whatever the types say
    try:
        return [paramiko.PKey.from_path(Path(settings.key_file).expanduser(), passphrase)]
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    except TypeError:  # as the library `cryptography` says it
        reason = "it needs a passphrase; set ssh_whisper.key_passphrase" if passphrase is None else "it needs none"
    except (ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType, RuntimeError):
        reason = "it is no private key of a known kind, or ssh_whisper.key_passphrase does not open it"
    raise ConfigurationError(f"ssh_whisper.key_file {settings.key_file}: {reason}") from None


def _expect_key(client: paramiko.SSHClient, host: Host, settings: SshWhisperSettings) -> None:
    """Tell the client which keys the host may show."""
    if settings.host_key:
        try:
            entry = HostKeyEntry.from_line(f"{host.known_as} {settings.host_key}")
        except (InvalidHostKey, paramiko.SSHException, ValueError, LookupError):
            entry = None
        if entry is None:
            raise ConfigurationError("ssh_whisper.host_key is no public key; write it as `ssh-keyscan` prints it")
        client.get_host_keys().add(host.known_as, entry.key.get_name(), entry.key)
        return
    path = Path(settings.known_hosts).expanduser()
    try:
        client.load_system_host_keys(str(path))
    except FileNotFoundError:
        return  # then no host is known
    except OSError as error:
        raise ConfigurationError(f"ssh_whisper.known_hosts {path} cannot be read: {error.strerror}") from error
    except (InvalidHostKey, ValueError, LookupError) as error:  # the library lets through what its own parts raise
        raise ConfigurationError(f"ssh_whisper.known_hosts {path} has a damaged line; remove it") from error


def _keep_alive(connection: fabric.Connection, settings: SshWhisperSettings) -> None:
    """Show regularly that the connection is used, and have it end when the other side is gone without a word."""
    for one in (connection, connection.gateway):
        if one is None:
            continue
        one.transport.set_keepalive(settings.keep_alive_seconds)
        if isinstance(one.transport.sock, socket.socket):  # that of the jump host's passenger is a channel
            one.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                milliseconds = 2000 * settings.keep_alive_seconds
                one.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


@contextmanager
def _failures_of(what: str, host: Host, settings: SshWhisperSettings) -> Iterator[None]:
    """Raise what went wrong as an error of ours that names the next step."""
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise CredentialsRefused(
            f"{what} showed another key than the known one, {error.key.get_name()} {error.key.fingerprint}: somebody "
            "may stand in between, or it was set up anew; if its own administrator confirms the key, replace the "
            f"old one: {_where_to_put(host, settings)}"
        ) from error
    except _UnknownKey as error:
        raise CredentialsRefused(
            f"the key of {what} is not known: {error.key.get_name()} {error.key.fingerprint}; compare it with what "
            f"`ssh-keygen -lf` prints for the file in /etc/ssh there, then add it: {_where_to_put(host, settings)}"
        ) from error
    except paramiko.AuthenticationException as error:
        if _was_cut(error):
            raise ProviderUnreachable(f"{what} broke the connection during the login") from error
        own = f"the key {settings.key_file}" if settings.key_file else "any key of the SSH agent"
        raise CredentialsRefused(
            f"{what} does not take {own} for the account {host.user}; add its public key to "
            "~/.ssh/authorized_keys there, or set ssh_whisper.user and ssh_whisper.key_file"
        ) from error
    except socket.gaierror as error:
        raise ProviderUnreachable(f"{what} is not known by that name; check ssh_whisper.hosts") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise ProviderUnreachable(f"{what} does not answer by SSH: {_reason(error)}") from error


def _was_cut(error: paramiko.AuthenticationException) -> bool:
    """Whether no key was refused, but the connection broke, which the library reports the same way."""

    def is_refusal(result: object) -> bool:
        return isinstance(result, paramiko.AuthenticationException) and not _BROKEN.search(str(result))

    results = [tried.result for tried in getattr(error, "result", ())]
    return bool(results) and not any(is_refusal(result) for result in results)


def _where_to_put(host: Host, settings: SshWhisperSettings) -> str:
    if settings.host_key:
        return "ssh_whisper.host_key"
    port = "" if host.port == _SSH_PORT else f"-p {host.port} "
    forget = f"`ssh-keygen -R '{host.known_as}' -f {settings.known_hosts}`"
    return f"{forget}, `ssh-keyscan {port}{host.name} >> {settings.known_hosts}`"


def _reason(error: Exception) -> str:
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or "it closed the connection"
