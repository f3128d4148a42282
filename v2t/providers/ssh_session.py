"""One chunk on a host: upload, command, JSON, all in a private folder that ends with the session.

All of it blocks, so it runs in a thread; `cancel` is called from another one.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import fabric
import paramiko

from v2t.domain.errors import (
    ConfigurationError,
    EngineCrashed,
    EngineTimedOut,
    ProviderFailed,
    V2TError,
)
from v2t.providers._answers import plain
from v2t.providers.ssh_commands import check_model
from v2t.providers.ssh_diagnosis import Diagnosis, too_many_sessions
from v2t.providers.ssh_login import Host
from v2t.providers.ssh_supervisor import ENDED, READY, REFUSED, supervised
from v2t.providers.whisper_command import likeliest_complaint


class BuildArgv(Protocol):
    """Tells the command for a WAV, and for a JSON whose path is given without its ending."""

    def __call__(self, *, audio: str, output: str) -> list[str]:
        """Its argv."""
        ...


OnLine = Callable[[str], bool]
"""Called with each line that the command says; whether it is understood, and so no complaint."""

REMEDY = "ssh_whisper.command must have -oj or -ojf"
"""Where the command writes something else than whisper.cpp's JSON."""

_LOOK_SECONDS = 0.1
"""How often a wait looks whether it is to end."""

_END_SECONDS = 1.5
"""How long the end of the command and of its folder is waited for; together with the rest less than 2 s."""

_LIMIT_LINE_BYTES = 64 * 1024
_LIMIT_OUTPUT_BYTES = 64 * 1024 * 1024
"""Far above what a chunk of some minutes comes to."""

_NOT_FOUND = (126, 127)
"""sh(1): the command cannot be run, or is not found."""

_SIGNALS = 128
"""sh(1): codes above it tell the signal that ended the command."""


class Cancelled(Exception):
    """The session was cancelled."""


class Session:
    """A private folder on a host, and the command in it; both end with the session.

    Args:
        host: the host, for messages.
        connection: an open connection to it.
        channel: a new channel of that.
        folder: the folder there to make the private one in.
        seconds: how long all may take.
    """

    def __init__(
        self, host: Host, connection: fabric.Connection, channel: paramiko.Channel, folder: str, seconds: float
    ) -> None:
        self._host = host
        self._transport = connection.transport
        self._channel = channel
        self._diagnosis = Diagnosis(host, connection.transport, folder)
        self._folder = f"{folder.rstrip('/')}/v2t-{secrets.token_hex(16)}"
        self._token = secrets.token_hex(16)
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._cancelled = threading.Event()
        self._files: paramiko.SFTPClient | None = None
        self._complaint = ""

    def transcribe(self, audio: Path, build_argv: BuildArgv, model: str, on_line: OnLine) -> bytes:
        """Run the command on the audio; the JSON that it wrote.

        Args:
            audio: the chunk's WAV.
            build_argv: tells the command.
            model: path there of the model's file; empty: the command is given none.
            on_line: told what the command says.

        Raises:
            ProviderError, ConfigurationError: what went wrong.
            Cancelled: `cancel` was called.
        """
        there, output = f"{self._folder}/audio.wav", f"{self._folder}/heard"
        argv = build_argv(audio=there, output=output)
        with self._failures():
            try:
                lines = self._start(argv)
                files = self._open_files()
                self._upload(files, audio, there)
                self._channel.sendall(b"run\n")
                self._check_code(self._follow(lines, on_line), files, argv[0], model)
                return self._download(files, f"{output}.json")
            finally:
                self._end()

    def cancel(self) -> None:
        """Make `transcribe` end soon, and the command with it."""
        self._cancelled.set()
        with suppress(Exception):  # whatever is broken already needs no ending
            self._channel.shutdown_write()
        with suppress(Exception):
            if self._files:
                self._files.close()

    def _start(self, argv: list[str]) -> Iterator[str]:
        """Have the folder made; what is said from then on."""
        self._channel.exec_command(supervised(argv, folder=self._folder, token=self._token, seconds=self._seconds))
        lines = self._lines()
        for line in lines:
            word, _ = self._own(line)
            if word == READY:
                return lines
            if word == REFUSED:
                raise self._diagnosis.no_folder(self._complaint.rpartition(": ")[2])
            self._complaint = likeliest_complaint(self._complaint, line)
        raise self._diagnosis.died(f"the shell on {self._host} ended{self._said}")

    def _open_files(self) -> paramiko.SFTPClient:
        try:
            files = paramiko.SFTPClient.from_transport(self._transport)
        except paramiko.ChannelException:
            raise
        except (paramiko.SSHException, EOFError) as error:
            self._check_stopped()
            raise self._diagnosis.no_files() from error
        channel = files.get_channel() if files else None
        if not files or not channel:  # as the types allow
            raise self._diagnosis.no_files()
        channel.settimeout(self._seconds)
        self._files = files
        self._check_stopped()
        return files

    def _upload(self, files: paramiko.SFTPClient, audio: Path, there: str) -> None:
        with audio.open("rb") as file:
            try:
                files.putfo(file, there)
            except OSError as error:
                raise self._failed(f"the audio could not be written: {plain(str(error))}") from error

    def _follow(self, lines: Iterator[str], on_line: OnLine) -> int:
        """Pass on what the command says until it ends; its exit code."""
        for line in lines:
            word, code = self._own(line)
            if word == ENDED:
                return int(code)
            if not on_line(line):
                self._complaint = likeliest_complaint(self._complaint, line)
        raise self._diagnosis.died(f"the whisper command on {self._host} was killed{self._said}")

    def _check_code(self, code: int, files: paramiko.SFTPClient, program: str, model: str) -> None:
        """Raise what an exit code means."""
        if not code:
            return
        if code in _NOT_FOUND:
            raise ConfigurationError(
                f"{plain(program)} cannot be run on {self._host}{self._said}; install it there, or set "
                "ssh_whisper.command"
            )
        if code > _SIGNALS:
            raise EngineCrashed(f"the whisper command on {self._host} was ended by signal {code - _SIGNALS}")
        if model:
            check_model(files, model, self._host)
        raise self._failed(f"the whisper command ended with {code}{self._said}")

    def _download(self, files: paramiko.SFTPClient, path: str) -> bytes:
        try:
            with files.open(path, "rb") as file:
                size = file.stat().st_size or 0
                if size > _LIMIT_OUTPUT_BYTES:
                    raise ProviderFailed(f"the whisper command on {self._host} wrote {size} bytes of JSON")
                file.prefetch(size)
                content: bytes = file.read(size)
        except FileNotFoundError as error:
            raise self._failed(f"the whisper command wrote no JSON to {{output}}.json{self._said}") from error
        if not content.rstrip().endswith(b"}"):
            raise self._failed("the JSON of the whisper command is not whole")
        return content

    def _end(self) -> None:
        """Have the command ended and the folder removed, and wait for that as long as it may take."""
        with suppress(Exception):  # a connection that broke ends both as well
            self._channel.shutdown_write()
            deadline = time.monotonic() + _END_SECONDS
            while time.monotonic() < deadline:
                with suppress(TimeoutError):
                    if not self._channel.recv(_LIMIT_LINE_BYTES):
                        break
        for one in (self._files, self._channel):
            with suppress(Exception):
                if one:
                    one.close()

    def _lines(self) -> Iterator[str]:
        """What comes from the host, line by line, until it ends.

        Raises:
            Cancelled, EngineTimedOut: it is to be waited for no longer.
        """
        self._channel.settimeout(_LOOK_SECONDS)
        rest = b""
        while True:
            self._check_stopped()
            try:
                data = self._channel.recv(_LIMIT_LINE_BYTES)
            except TimeoutError:
                continue
            if not data:
                return
            *whole, rest = re.split(rb"[\r\n]+", rest + data)
            rest = rest[-_LIMIT_LINE_BYTES:]
            yield from (line.decode("utf-8", errors="replace") for line in whole if line.strip())

    def _own(self, line: str) -> tuple[str, str]:
        """The word, and what follows it, in a line of the supervising shell; of others none."""
        token, _, said = line.partition(" ")
        word, _, rest = said.partition(" ")
        return (word, rest) if token == self._token else ("", "")

    @property
    def _said(self) -> str:
        return f": {self._complaint}" if self._complaint else ""

    def _failed(self, what: str) -> V2TError:
        """The error for what went wrong, unless it did so because it was to stop."""
        self._check_stopped()
        return self._diagnosis.failed(what)

    def _check_stopped(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        if time.monotonic() > self._deadline:
            raise EngineTimedOut(
                f"the whisper command on {self._host} took more than {self._seconds:.0f} s; "
                "ssh_whisper.timeout_seconds and ssh_whisper.timeout_factor say how long it may take"
            )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except paramiko.ChannelException as error:
            raise too_many_sessions(self._host) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._failed(plain(f"{type(error).__name__}: {error}")) from error
