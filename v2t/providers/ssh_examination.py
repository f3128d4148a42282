"""Looks step by step whether a host can transcribe, for a person who sets one up."""

from __future__ import annotations

import re
import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import fabric
import paramiko

from v2t.config.ssh_whisper import SshWhisperSettings
from v2t.domain.errors import ConfigurationError, ProviderUnreachable, V2TError
from v2t.domain.jobs import DEFAULT_MODEL, TranscribeOptions
from v2t.providers._answers import plain
from v2t.providers.ssh_commands import check_model, free_bytes, run_briefly
from v2t.providers.ssh_login import Host, Stages, close_connection, find_host, open_connection
from v2t.providers.ssh_session import REMEDY, Session
from v2t.providers.trial import SAMPLE_SECONDS, Step, write_sample
from v2t.providers.whisper_command import build_command, model_file, parse_output, read_progress

_MEGABYTE = 1_000_000
_VERSION = re.compile(r"\bv?\d+\.\d+")


def examine_host(host: Host, settings: SshWhisperSettings, model: str = DEFAULT_MODEL) -> Generator[Step]:
    """Look at a host; the steps end with the first that fails. It blocks.

    Args:
        host: the host.
        settings: the section.
        model: the model to look for and to use.
    """
    resolved = _look(
        "resolve", lambda: _resolve(find_host(settings.jump_host, settings) if settings.jump_host else host)
    )
    yield resolved
    if not resolved.ok:
        return
    steps, connection = _log_in(host, settings)
    yield from steps
    if connection is None:
        return
    try:
        yield from _look_around(_Examination(host, settings, model, connection))
    finally:
        close_connection(connection)


def _look(name: str, look: Callable[[], str]) -> Step:
    """A step of what `look` finds, or of why it fails."""
    started = time.monotonic()
    try:
        ok, detail = True, look()
    except V2TError as error:
        ok, detail = False, error.message
    except (paramiko.SSHException, OSError, EOFError) as error:
        ok, detail = False, plain(str(error)) or "no answer in time"
    return Step(name, ok, detail, time.monotonic() - started)


def _resolve(host: Host) -> str:
    try:
        found = socket.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ProviderUnreachable(f"{host.name} is not known by that name; check ssh_whisper.hosts") from error
    return ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))


def _log_in(host: Host, settings: SshWhisperSettings) -> tuple[list[Step], fabric.Connection | None]:
    """The steps until one is logged in, and the connection if that succeeded."""
    stages = Stages()
    before = time.monotonic()
    connection, failure = None, ""
    try:
        connection = open_connection(host, settings, stages)
    except V2TError as error:
        failure = error.message
    key = _known_key(connection) if connection else "is the known one"
    details = {"connect": f"port {host.port}", "host key": key, "login": f"as {host.user}"}
    steps: list[Step] = []
    for name, detail in details.items():
        if name not in stages.ended:
            return [*steps, Step(name, False, failure, time.monotonic() - before)], None
        steps.append(Step(name, True, detail, stages.ended[name] - before))
        before = stages.ended[name]
    return steps, connection


def _known_key(connection: fabric.Connection) -> str:
    key = connection.transport.get_remote_server_key()
    return f"{key.get_name()} {key.fingerprint}"


def _look_around(examination: _Examination) -> Iterator[Step]:
    for name, look in (
        ("folder", examination.folder),
        ("command", examination.command),
        ("model", examination.model),
        ("sample", examination.sample),
    ):
        step = _look(name, look)
        yield step
        if not step.ok:
            return


class _Examination:
    """What is looked at once one is logged in."""

    def __init__(self, host: Host, settings: SshWhisperSettings, model: str, connection: fabric.Connection) -> None:
        self._host = host
        self._settings = settings
        self._options = TranscribeOptions(model=model, language="en")
        self._model = model_file(settings, model)
        self._connection = connection
        self._transport = connection.transport

    def folder(self) -> str:
        """Whether a folder can be made there, and the free space."""
        parent = self._settings.folder
        name = f"{parent.rstrip('/')}/v2t-{secrets.token_hex(16)}"
        code, said = run_briefly(
            self._transport, ["env", "LC_ALL=C", "sh", "-c", 'mkdir -m 700 "$1" && rmdir "$1"', "sh", name]
        )
        if code:
            reason = plain(said).rpartition(": ")[2]
            raise ConfigurationError(f"no folder can be made in {plain(parent)}: {reason}; set ssh_whisper.folder")
        return f"{plain(parent)}, {free_bytes(self._transport, parent) / _MEGABYTE:,.0f} MB free"

    def command(self) -> str:
        """Where the command is, and its version where it tells one."""
        program = self._settings.command[0]
        code, path = run_briefly(self._transport, ["sh", "-c", 'command -v "$1"', "sh", program])
        if code:
            raise ConfigurationError(f"there is no {plain(program)}; install it, or set ssh_whisper.command")
        _, said = run_briefly(self._transport, [program, "--version"])
        first = next(iter(said.strip().splitlines()), "")
        tells = _VERSION.search(first) and not first.startswith("error")
        return f"{plain(path)}, {plain(first) if tells else 'which tells no version'}"

    def model(self) -> str:
        """Whether the model's file is there, and its size."""
        if not self._model:
            return "the command is given none"
        with self._transport.open_sftp_client() as files:
            size = check_model(files, self._model, self._host)
        return f"{plain(self._model)}, {size / _MEGABYTE:,.0f} MB"

    def sample(self) -> str:
        """Whether a second of silence can be transcribed."""
        settings = self._settings
        limit = settings.timeout_seconds + settings.timeout_factor * SAMPLE_SECONDS
        session = Session(self._host, self._connection, self._transport.open_session(), settings.folder, limit)
        with tempfile.TemporaryDirectory() as folder:
            content = session.transcribe(
                write_sample(Path(folder) / "0.wav"),
                partial(build_command, settings, self._options, model=self._model),
                self._model,
                lambda line: read_progress(line) is not None,
            )
        parse_output(content, self._options, None, REMEDY)
        return f"{SAMPLE_SECONDS} s of silence transcribed"
